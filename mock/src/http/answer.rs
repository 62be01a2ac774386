//! Completions: whole ones, and streams of server-sent events.
//!
//! Headers leave with the first token, so that time to first byte is time to first token, and a
//! request that the server can't take still gets its status. A stream's JSON around the token is
//! the same for each token, so it is built once and copied. Tokens that came since the last write
//! go out together, each in its own event.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use trimtab_core::sim::{Request, Timing};

use super::{
    ApiError,
    ask::{Ask, Kind},
    json_response,
};
use crate::{
    body::{Body, BodyError},
    engine::{Progress, Ticket},
    replica::Replica,
    server_timing::{self, SERVER_TIMING},
    text,
};

pub(super) async fn answer(replica: &Replica, mut ask: Ask) -> Result<Response<Body>, ApiError> {
    let blocks = std::mem::take(&mut ask.prompt.blocks);
    let request = Request::new(ask.prompt.tokens, ask.max_tokens).with_blocks(blocks);
    let mut ticket = replica.engine.submit(request, ask.stream)?;
    let envelope = Envelope::new(replica, &ask);
    if ask.stream {
        let first = ticket.beyond(0).await?;
        return Ok(stream_response(Stream::new(ticket, ask, &envelope), first));
    }
    let timing = ticket.end().await?;
    let mut response = json_response(StatusCode::OK, &envelope.whole(&ask, &timing));
    server_timing::insert(response.headers_mut(), timing.queue, timing.processing());
    Ok(response)
}

/// What all JSON objects of one answer share.
struct Envelope {
    id: String,
    created: u64,
}

impl Envelope {
    fn new(replica: &Replica, ask: &Ask) -> Self {
        let prefix = match ask.kind {
            Kind::Chat => "chatcmpl",
            Kind::Completion => "cmpl",
        };
        Self { id: format!("{prefix}-{:016x}", replica.next_id()), created: replica.created }
    }

    fn whole(&self, ask: &Ask, timing: &Timing) -> Value {
        let text = text::tokens(0, ask.max_tokens);
        let (object, content) = match ask.kind {
            Kind::Chat => {
                let message = json!({ "role": "assistant", "content": text, "refusal": null });
                ("chat.completion", ("message", message))
            }
            Kind::Completion => ("text_completion", ("text", text.into())),
        };
        let mut choice = json!({
            "index": 0, "logprobs": null, "finish_reason": finish_reason(ask),
        });
        choice[content.0] = content.1;
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": ask.model,
            "choices": [choice],
            "usage": usage(ask, timing),
            "timings": timings(timing),
        })
    }

    fn chunk(&self, ask: &Ask, choices: &Value) -> Value {
        let object = match ask.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Completion => "text_completion",
        };
        // Choices first, before a model's name that may hold anything.
        let mut chunk = json!({
            "choices": choices,
            "created": self.created,
            "id": self.id,
            "model": ask.model,
            "object": object,
        });
        if ask.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

struct Stream {
    ticket: Ticket,
    ask: Ask,
    sent: u32,
    ended: bool,
    /// To be sent after the last event.
    trailers: Option<HeaderMap>,
    /// The first event of a chat, which only says whose turn it is.
    role: String,
    before_token: String,
    after_token: String,
    /// The event with the finish reason, the timings to be filled in.
    finish: Value,
    usage: Option<Value>,
}

/// Stands where the token goes when an event is built.
const PLACEHOLDER: &str = "@token@";

impl Stream {
    fn new(ticket: Ticket, ask: Ask, envelope: &Envelope) -> Self {
        let choice = |content: Value, finish_reason: Value| {
            let name = if ask.kind == Kind::Chat { "delta" } else { "text" };
            let mut choice =
                json!({ "index": 0, "logprobs": null, "finish_reason": finish_reason });
            choice[name] = content;
            envelope.chunk(&ask, &json!([choice]))
        };
        let (token, last) = match ask.kind {
            Kind::Chat => (json!({ "content": PLACEHOLDER }), json!({})),
            Kind::Completion => (json!(PLACEHOLDER), json!("")),
        };
        let event = event(&choice(token, Value::Null));
        let (before_token, after_token) = event.split_once(PLACEHOLDER).unwrap_or((&event, ""));
        let (before_token, after_token) = (before_token.to_owned(), after_token.to_owned());
        let role = match ask.kind {
            Kind::Chat => {
                self::event(&choice(json!({ "role": "assistant", "content": "" }), Value::Null))
            }
            Kind::Completion => String::new(),
        };
        let finish = choice(last, json!(finish_reason(&ask)));
        let usage = ask.include_usage.then(|| envelope.chunk(&ask, &json!([])));
        Self {
            ticket,
            sent: 0,
            ended: false,
            trailers: None,
            role,
            before_token,
            after_token,
            finish,
            usage,
            ask,
        }
    }

    /// The events for what is new.
    fn events(&mut self, progress: Progress) -> Bytes {
        let fresh = (progress.tokens - self.sent) as usize;
        let each = self.before_token.len() + self.after_token.len() + 8;
        let mut text = String::with_capacity(fresh * each + 1_024);
        if self.sent == 0 {
            text.push_str(&self.role);
        }
        for index in self.sent..progress.tokens {
            text.push_str(&self.before_token);
            text.push_str(text::token(index));
            text.push_str(&self.after_token);
        }
        self.sent = progress.tokens;
        if let Some(Ok(timing)) = progress.end {
            self.ended = true;
            let mut trailers = HeaderMap::with_capacity(1);
            server_timing::insert(&mut trailers, timing.queue, timing.processing());
            self.trailers = Some(trailers);
            self.finish["timings"] = timings(&timing);
            text.push_str(&event(&self.finish));
            if let Some(chunk) = &mut self.usage {
                chunk["usage"] = usage(&self.ask, &timing);
                text.push_str(&event(chunk));
            }
            text.push_str("data: [DONE]\n\n");
        }
        text.into()
    }
}

fn stream_response(stream: Stream, first: Progress) -> Response<Body> {
    let frames = stream::unfold((stream, Some(first)), |(mut stream, ready)| async move {
        if stream.ended {
            let trailers = Frame::trailers(stream.trailers.take()?);
            return Some((Ok(trailers), (stream, None)));
        }
        let progress = match ready {
            Some(progress) => Ok(progress),
            None => stream.ticket.beyond(stream.sent).await,
        };
        let frame = match progress {
            Ok(progress) => Ok(Frame::data(stream.events(progress))),
            Err(refusal) => {
                stream.ended = true;
                Err(BodyError::from(refusal))
            }
        };
        Some((frame, (stream, None)))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::TRAILER, HeaderValue::from_static(SERVER_TIMING));
    response
}

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn finish_reason(ask: &Ask) -> &'static str {
    if ask.limited { "length" } else { "stop" }
}

fn usage(ask: &Ask, timing: &Timing) -> Value {
    json!({
        "prompt_tokens": ask.prompt.tokens,
        "completion_tokens": ask.max_tokens,
        "total_tokens": u64::from(ask.prompt.tokens) + u64::from(ask.max_tokens),
        "prompt_tokens_details": { "cached_tokens": timing.cached_tokens },
    })
}

fn timings(timing: &Timing) -> Value {
    json!({
        "queue_ms": timing.queue.as_secs_f64() * 1e3,
        "prefill_ms": timing.prefill.as_secs_f64() * 1e3,
        "decode_ms": timing.decode.as_secs_f64() * 1e3,
    })
}
