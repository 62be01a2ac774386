//! The gRPC side: health, and one method for each kind of call.
//!
//! Every answer of the inference service carries the load report in the trailer
//! `endpoint-load-metrics-bin`, and one that ended well its times in `server-timing`. Tonic lets a handler set no trailers on success, so the report is
//! put into the trailers frame of the finished response; that is also the latest moment, when the
//! report is freshest. As over HTTP, headers of a stream leave with the first token.

use std::{future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use prost::Message;
use tonic::{
    Code, Request, Response, Status, Streaming,
    codegen::Service,
    metadata::{BinaryMetadataValue, MetadataMap, MetadataValue},
};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use trimtab_core::sim::{self, SubmitError, Timing};

use crate::{
    body::{Body, Hangup},
    engine::{Refusal, Ticket},
    prompt::Prompt,
    proto::{
        GenerateChunk, GenerateRequest, GenerateResponse, Usage,
        inference_server::{Inference, InferenceServer},
    },
    replica::{Fate, Replica},
    server_timing::CallTimes,
    text,
};

/// The services of one replica.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    replica: Arc<Replica>,
    inference: InferenceServer<Calls>,
    health: HealthServer<HealthService>,
}

impl Services {
    pub(crate) fn new(replica: Arc<Replica>, health: HealthService) -> Self {
        let inference = InferenceServer::new(Calls(replica.clone()));
        Self { replica, inference, health: HealthServer::new(health) }
    }

    /// Answers one call; errors are gRPC statuses.
    pub(crate) async fn serve<B>(
        &self,
        hangup: Hangup,
        request: http::Request<B>,
    ) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tonic::codegen::StdError> + Send,
    {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.v1.Health/") {
            if self.replica.faults.get().stall {
                future::pending::<()>().await;
            }
            let response = self.health.clone().call(request).await;
            return boxed(response.unwrap_or_else(|never| match never {}));
        }
        if !path.starts_with("/trimtab.mock.v1.Inference/") {
            let status = Status::unimplemented(format!("no such service: {path}"));
            return boxed(status.into_http::<tonic::body::Body>());
        }
        let fate = self.replica.fate().await;
        let response = match fate {
            Fate::Refuse => Status::unavailable("the server refuses all requests").into_http(),
            Fate::Fail => Status::unavailable("an injected error").into_http(),
            Fate::Answer | Fate::Reset => {
                let response = self.inference.clone().call(request).await;
                response.unwrap_or_else(|never| match never {})
            }
        };
        let response = self.with_trailers(response);
        if fate == Fate::Reset { hangup.midway(response) } else { response }
    }

    fn with_trailers(
        &self,
        mut response: http::Response<tonic::body::Body>,
    ) -> http::Response<Body> {
        // An error without a body has its trailers in the headers.
        if response.headers().contains_key("grpc-status") {
            insert_load_report(&self.replica, response.headers_mut());
            return boxed(response);
        }
        let replica = self.replica.clone();
        let times = response.extensions_mut().remove::<CallTimes>();
        boxed(response.map(|body| {
            body.map_frame(move |mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    insert_load_report(&replica, trailers);
                    if let Some(times) = &times {
                        times.insert(trailers);
                    }
                }
                frame
            })
        }))
    }
}

fn boxed<B>(response: http::Response<B>) -> http::Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<crate::body::BodyError>,
{
    response.map(|body| body.map_err(Into::into).boxed_unsync())
}

fn insert_load_report(replica: &Replica, trailers: &mut HeaderMap) {
    let report = BinaryMetadataValue::from_bytes(&replica.load_report().encode_to_vec());
    if let Ok(value) = HeaderValue::from_bytes(report.as_encoded_bytes()) {
        trailers.insert("endpoint-load-metrics-bin", value);
    }
}

#[derive(Clone, Debug)]
struct Calls(Arc<Replica>);

type Chunks = Pin<Box<dyn Stream<Item = Result<GenerateChunk, Status>> + Send>>;

#[tonic::async_trait]
impl Inference for Calls {
    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<GenerateResponse>, Status> {
        self.whole(&request.into_inner()).await
    }

    type GenerateStreamStream = Chunks;

    async fn generate_stream(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Chunks>, Status> {
        let times = CallTimes::default();
        let pieces = self.pieces(&request.into_inner(), times.clone()).await?;
        Ok(timed(pieces, times))
    }

    async fn generate_from_parts(
        &self,
        request: Request<Streaming<GenerateRequest>>,
    ) -> Result<Response<GenerateResponse>, Status> {
        let mut parts = request.into_inner();
        let mut whole = GenerateRequest::default();
        while let Some(part) = parts.message().await? {
            if whole.prompt.len() + part.prompt.len() > self.0.max_body_bytes {
                let limit = self.0.max_body_bytes;
                let message = format!("the prompt is longer than {limit} bytes");
                return Err(Status::resource_exhausted(message));
            }
            whole.prompt.push_str(&part.prompt);
            whole.prompt_tokens = whole.prompt_tokens.saturating_add(part.prompt_tokens);
            if part.max_tokens > 0 {
                whole.max_tokens = part.max_tokens;
            }
        }
        self.whole(&whole).await
    }

    type ConverseStream = Chunks;

    async fn converse(
        &self,
        request: Request<Streaming<GenerateRequest>>,
    ) -> Result<Response<Chunks>, Status> {
        let (calls, turns) = (self.clone(), request.into_inner());
        let times = CallTimes::default();
        let state = Some((calls, turns, times.clone()));
        let answers = stream::unfold(state, |state| async move {
            let (calls, mut turns, times) = state?;
            let turn = match turns.message().await {
                Ok(turn) => turn?,
                Err(status) => return Some((failed(status), None)),
            };
            match calls.pieces(&turn, times.clone()).await {
                Ok(pieces) => Some((pieces, Some((calls, turns, times)))),
                Err(status) => Some((failed(status), None)),
            }
        });
        Ok(timed(Box::pin(answers.flatten()), times))
    }
}

impl Calls {
    async fn whole(&self, ask: &GenerateRequest) -> Result<Response<GenerateResponse>, Status> {
        let (mut ticket, prompt_tokens, max_tokens) = self.submit(ask, false)?;
        let timing = ticket.end().await.map_err(status)?;
        let times = CallTimes::default();
        times.add(&timing);
        let answer = GenerateResponse {
            text: text::tokens(0, max_tokens),
            usage: Some(usage(prompt_tokens, max_tokens, &timing)),
        };
        Ok(timed(answer, times))
    }

    /// Returns when the first token is there.
    async fn pieces(&self, ask: &GenerateRequest, times: CallTimes) -> Result<Chunks, Status> {
        let (mut ticket, prompt_tokens, max_tokens) = self.submit(ask, true)?;
        let first = ticket.beyond(0).await.map_err(status)?;
        let state = Some((ticket, 0, Some(first), times));
        let chunks = stream::unfold(state, move |state| async move {
            let (mut ticket, sent, ready, times) = state?;
            let progress = match ready {
                Some(progress) => Ok(progress),
                None => ticket.beyond(sent).await,
            };
            let progress = match progress {
                Ok(progress) => progress,
                Err(refusal) => return Some((Err(status(refusal)), None)),
            };
            let timing = progress.end.and_then(Result::ok);
            if let Some(timing) = &timing {
                times.add(timing);
            }
            let chunk = GenerateChunk {
                text: text::tokens(sent, progress.tokens),
                tokens: progress.tokens - sent,
                usage: timing.map(|timing| usage(prompt_tokens, max_tokens, &timing)),
            };
            let rest = timing.is_none().then_some((ticket, progress.tokens, None, times));
            Some((Ok(chunk), rest))
        });
        Ok(Box::pin(chunks))
    }

    fn submit(&self, ask: &GenerateRequest, streamed: bool) -> Result<(Ticket, u32, u32), Status> {
        let prompt = if ask.prompt_tokens == 0 {
            Prompt::from_text(&ask.prompt, self.0.hashed_block_tokens())
        } else {
            Prompt { tokens: ask.prompt_tokens, blocks: Vec::new() }
        };
        let max_tokens = if ask.max_tokens == 0 { DEFAULT_TOKENS } else { ask.max_tokens };
        let request = sim::Request::new(prompt.tokens, max_tokens).with_blocks(prompt.blocks);
        let ticket = self.0.engine.submit(request, streamed).map_err(status)?;
        Ok((ticket, prompt.tokens, max_tokens))
    }
}

/// Tokens generated where the request sets no limit.
const DEFAULT_TOKENS: u32 = 16;

fn timed<T>(answer: T, times: CallTimes) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(times);
    response
}

fn failed(status: Status) -> Chunks {
    Box::pin(stream::once(future::ready(Err(status))))
}

fn usage(prompt_tokens: u32, completion_tokens: u32, timing: &Timing) -> Usage {
    Usage {
        prompt_tokens,
        completion_tokens,
        cached_tokens: timing.cached_tokens,
        queue_ms: timing.queue.as_secs_f64() * 1e3,
        processing_ms: timing.processing().as_secs_f64() * 1e3,
    }
}

fn status(refusal: Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::QueueFull => {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-retry-pushback-ms", MetadataValue::from_static("1000"));
            Status::with_metadata(Code::ResourceExhausted, message, metadata)
        }
        Refusal::Submit(SubmitError::TooLong { .. }) => Status::out_of_range(message),
        Refusal::Submit(_) => Status::invalid_argument(message),
        Refusal::Stopping => Status::unavailable(message),
    }
}
