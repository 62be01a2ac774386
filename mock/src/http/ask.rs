//! What a completion request asks for, parsed once from its JSON.
//!
//! Fields that change nothing here (temperature, tools, user, ...) are ignored. The model's name is
//! taken as it comes and echoed: the fleet stands in for whichever model the client is made for.

use serde_json::Value;

use super::ApiError;
use crate::prompt::Prompt;

/// Which of the two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Chat,
    Completion,
}

#[derive(Debug)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    pub(super) model: String,
    pub(super) prompt: Prompt,
    pub(super) max_tokens: u32,
    /// Whether the answer ends because of `max_tokens`.
    pub(super) limited: bool,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

impl Kind {
    /// Tokens generated where the request sets no limit: `OpenAI`'s for completions, made up for chat.
    fn default_tokens(self) -> u32 {
        match self {
            Self::Chat => 128,
            Self::Completion => 16,
        }
    }
}

pub(super) fn parse(kind: Kind, body: &[u8], block_tokens: u32) -> Result<Ask, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| ApiError::bad_json(&error))?;
    if !value.is_object() {
        return Err(ApiError::invalid(None, "the body must be a JSON object"));
    }
    let field = |name: &str| value.get(name).filter(|value| !value.is_null());
    let Some(model) = field("model").and_then(Value::as_str) else {
        return Err(ApiError::invalid(Some("model"), "`model` must be a string"));
    };
    if field("n").is_some_and(|n| n.as_u64() != Some(1)) {
        return Err(ApiError::invalid(Some("n"), "`n` must be 1 on this server"));
    }
    let mut limit = None;
    let mut limits: &[&'static str] = &["max_completion_tokens", "max_tokens"];
    if kind == Kind::Completion {
        limits = &limits[1..];
    }
    for &name in limits {
        if let Some(given) = field(name) {
            let tokens = given.as_u64().and_then(|tokens| u32::try_from(tokens).ok());
            let tokens = tokens.filter(|&tokens| tokens > 0).ok_or_else(|| {
                let message = format!("`{name}` must be a whole number of at least 1, got {given}");
                ApiError::invalid(Some(name), message)
            })?;
            limit = limit.or(Some(tokens));
        }
    }
    let options = field("stream_options");
    let include_usage = options.and_then(|options| options.get("include_usage"));
    let prompt = match kind {
        Kind::Chat => chat_prompt(field("messages"), block_tokens)?,
        Kind::Completion => completion_prompt(field("prompt"), block_tokens)?,
    };
    if prompt.tokens == 0 {
        let name = if kind == Kind::Chat { "messages" } else { "prompt" };
        return Err(ApiError::invalid(Some(name), format!("`{name}` must not be empty")));
    }
    Ok(Ask {
        kind,
        model: model.to_owned(),
        prompt,
        max_tokens: limit.unwrap_or_else(|| kind.default_tokens()),
        limited: limit.is_some(),
        stream: boolean("stream", field("stream"))?,
        include_usage: boolean("stream_options", include_usage)?,
    })
}

/// Roles and contents one after another, each on its line.
fn chat_prompt(messages: Option<&Value>, block_tokens: u32) -> Result<Prompt, ApiError> {
    let invalid = |message: &str| ApiError::invalid(Some("messages"), message);
    let messages = messages
        .and_then(Value::as_array)
        .filter(|messages| !messages.is_empty())
        .ok_or_else(|| invalid("`messages` must be a list of at least one message"))?;
    let mut text = String::new();
    for message in messages {
        let role = message
            .get("role")
            .and_then(Value::as_str)
            .ok_or_else(|| invalid("each of `messages` must have a `role`"))?;
        text.push_str(role);
        text.push('\n');
        match message.get("content") {
            None | Some(Value::Null) => {}
            Some(Value::String(content)) => text.push_str(content),
            Some(Value::Array(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                texts.for_each(|part| text.push_str(part));
            }
            Some(_) => return Err(invalid("`content` must be a string or a list of parts")),
        }
        text.push('\n');
    }
    Ok(Prompt::from_text(&text, block_tokens))
}

/// A text, or a list of token ids, or a list of just one of these.
fn completion_prompt(prompt: Option<&Value>, block_tokens: u32) -> Result<Prompt, ApiError> {
    let invalid = || {
        let message = "`prompt` must be a string or a list of token ids; one prompt a request";
        ApiError::invalid(Some("prompt"), message)
    };
    match prompt {
        Some(Value::String(text)) => Ok(Prompt::from_text(text, block_tokens)),
        Some(Value::Array(items)) => match &items[..] {
            [one @ (Value::String(_) | Value::Array(_))] => {
                completion_prompt(Some(one), block_tokens)
            }
            ids => {
                let ids: Option<Vec<u64>> = ids.iter().map(Value::as_u64).collect();
                Ok(Prompt::from_tokens(&ids.ok_or_else(invalid)?, block_tokens))
            }
        },
        _ => Err(invalid()),
    }
}

fn boolean(name: &'static str, value: Option<&Value>) -> Result<bool, ApiError> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(false) };
    value.as_bool().ok_or_else(|| {
        ApiError::invalid(Some(name), format!("`{name}` must be true or false, got {value}"))
    })
}
