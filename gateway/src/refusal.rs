//! Refusals: why an order, or another question to the gateway, is not done.

/// Kind of a refusal: its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request cannot be done as it is.
    Invalid,
    /// 401: no key, or none that is known.
    Unauthorized,
    /// 402: there is no money for it.
    Payment,
    /// 403: not with this key.
    Forbidden,
    /// 404: there is no such thing.
    NotFound,
    /// 405: not with this method.
    Method,
    /// 408: the body came too slowly.
    Slow,
    /// 409: it is not over yet.
    Conflict,
    /// 410: it is forgotten.
    Gone,
    /// 413: the body is too large.
    TooLarge,
    /// 415: the body is not JSON.
    NotJson,
    /// 422: the idempotency key belongs to another body.
    Mismatch,
    /// 429: too much at a time.
    Rate,
    /// 500: a fault of the gateway.
    Internal,
    /// 502: the network gave no answer.
    NoAnswer,
    /// 503: the network or the disk is not there now.
    Unavailable,
    /// 504: the answer did not come in time.
    Late,
}

/// A refusal. The message says what is wrong and what to do, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kind of error.
    pub kind: Kind,
    /// The error for programs, such as `model_not_found`.
    pub code: &'static str,
    /// One line for people.
    pub message: String,
    /// Field of the request that the refusal is about.
    pub param: Option<String>,
    /// Seconds after which it may be tried again.
    pub retry_after: Option<u64>,
    /// Description of the order, if one was taken.
    pub poq: Option<Box<serde_json::Value>>,
}

impl Refusal {
    /// A refusal.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), param: None, retry_after: None, poq: None }
    }

    /// The request cannot be done as it is.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "invalid_request", message)
    }

    /// The prompt and its answer do not fit. The message has to say "maximum context length is", with "this model's" before it, or "prompt is
    /// too long": LiteLLM tells this error from others by such words and not by the code.
    pub fn too_long(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "context_length_exceeded", message).about("messages")
    }

    /// A fault of the gateway, which its log explains.
    pub fn internal() -> Self {
        Self::new(Kind::Internal, "internal", "the gateway failed; its log says more")
    }

    /// The node is not there.
    pub fn no_network() -> Self {
        Self::new(
            Kind::Unavailable,
            "network_unavailable",
            "the gateway has no connection to its node; nothing was asked, try again",
        )
        .after(5)
    }

    /// This refusal, about the field `param`.
    pub fn about(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// This refusal, which may be tried again after so many seconds.
    pub fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds.max(1)), ..self }
    }

    /// This refusal, with what is known of the order.
    pub fn with(self, poq: serde_json::Value) -> Self {
        Self { poq: Some(Box::new(poq)), ..self }
    }
}
