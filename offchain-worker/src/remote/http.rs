//! One exchange with a server: what is sent, what may come back, what each fault means.

use super::config::{RemoteConfig, Secret};
use crate::{
    limits::Unfinished,
    turns::{Turn, Turns},
    web,
    work::Caller,
};
use reqwest::{
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
    Client, RequestBuilder, Response, StatusCode, Url,
};
use serde::de::DeserializeOwned;
use std::{error::Error as _, sync::Arc, time::Duration};

/// Largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Largest body of a refusal that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// Most characters of a server's own words that are passed on.
const MAX_WORDS: usize = 300;

/// Why an exchange gave nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// Asking again would not help.
    Final {
        /// The job's failure.
        outcome: Unfinished,
        /// Whether the server can do other work.
        up: bool,
    },
    /// It may work later.
    Passing {
        /// One line.
        message: String,
        /// Pause that the server asks for.
        after: Option<Duration>,
        /// Whether the server is there, only busy.
        up: bool,
    },
    /// The server's answer makes no sense.
    Garbage(String),
}

impl Fault {
    /// The job is wrong.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Final { outcome: Unfinished::invalid(message), up: true }
    }

    /// The server cannot do this work, now or later.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::Final { outcome: Unfinished::unavailable(message), up: false }
    }

    /// Nobody wants the outcome any more.
    pub(super) fn cancelled() -> Self {
        Self::Final { outcome: Unfinished::Cancelled, up: true }
    }

    /// One line for people.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Final { outcome: Unfinished::Failed(error), .. } => error.message.clone(),
            Self::Final { outcome: Unfinished::TooLong(long), .. } => long.to_string(),
            Self::Final { outcome: Unfinished::Cancelled | Unfinished::Died(_), .. } => {
                "cancelled".to_owned()
            }
            Self::Passing { message, .. } => message.clone(),
            Self::Garbage(what) => format!("the server gave {what}"),
        }
    }

    /// A fault of the way to the server.
    pub(super) fn connection(error: reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::unavailable(format!("the request cannot be made: {}", cause(error)));
        }
        Self::Passing { message: cause(error), after: None, up: false }
    }
}

/// The way to one server.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    secret: Option<Secret>,
    places: Arc<Turns>,
}

impl Http {
    /// Ready to connect; nothing is sent yet.
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, super::RemoteError> {
        // Another part of the process may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = config.check()?;
        let secret = config.secret()?;
        if secret.is_some() && web::is_exposed(&base) {
            tracing::warn!(remote = config.name, "the token goes over the network unencrypted; use https");
        }
        let client = Client::builder()
            // The token must not go where a redirect leads.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("poq-worker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .build()
            .map_err(|error| config.wrong(format!("no HTTPS client: {}", cause(error))))?;
        Ok(Self { client, base, secret, places: Turns::new(config.max_concurrent) })
    }

    /// Waits for a free place; it is free again when what is returned is dropped.
    pub(super) async fn place(&self, caller: Caller) -> Result<Turn, Fault> {
        self.places.one(caller).await.map_err(|_| Fault::cancelled())
    }

    /// The base with `path` added.
    pub(super) fn below(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// The base, without the version at its end, with `path` added.
    pub(super) fn beside(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{}{path}", base.strip_suffix("/v1").unwrap_or(base)));
        url
    }

    /// A request to read `url`.
    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    /// A request with the JSON of `body`.
    pub(super) fn post(&self, url: Url, body: &impl serde::Serialize) -> RequestBuilder {
        self.client.post(url).json(body)
    }

    /// Sends a request; a response that says yes, its body still to be read.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let response = self.exchange(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends a request only to learn whether somebody answers: that there is nothing at its path is an answer too.
    pub(super) async fn reach(&self, request: RequestBuilder) -> Result<(), Fault> {
        let response = self.exchange(request).await?;
        if response.status().is_success() || matches!(response.status().as_u16(), 404 | 405) {
            return Ok(());
        }
        Err(self.refusal(response).await)
    }

    async fn exchange(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let request = match &self.secret {
            Some(secret) => request.bearer_auth(secret.expose()),
            None => request,
        };
        request.send().await.map_err(Fault::connection)
    }

    /// Reads a body that has to be the JSON of a `T`.
    pub(super) async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, Fault> {
        let body = read(response, MAX_BODY_BYTES).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Fault::Garbage(format!("an answer that is not what the API says: {error}")))
    }

    /// Meaning of a response other than success.
    async fn refusal(&self, mut response: Response) -> Fault {
        let status = response.status();
        let after = retry_after(&response);
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_REFUSAL_BYTES.saturating_sub(body.len());
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if body.len() >= MAX_REFUSAL_BYTES {
                break;
            }
        }
        verdict(status, &self.redact(words_of(&body)), after)
    }

    /// `text` without the token, should a server repeat it, as one short line.
    pub(super) fn redact(&self, text: String) -> String {
        one_line(&match &self.secret {
            Some(secret) => text.replace(secret.expose(), "***"),
            None => text,
        })
    }
}

/// Meaning of a status other than success.
fn verdict(status: StatusCode, words: &str, after: Option<Duration>) -> Fault {
    let said = |what: &str| match words {
        "" => format!("{what} ({status})"),
        words => format!("{what} ({status}): {words}"),
    };
    match status.as_u16() {
        400 | 413 | 422 => Fault::invalid(said("the server refuses the work")),
        401 | 403 => Fault::unavailable(format!("the server refuses the token ({status})")),
        404 => Fault::unavailable(said("the server has no such model or path")),
        // 501 is a 5xx for good: llama-server gives it when it was started without --reranking.
        501 => Fault::unavailable(said("the server is not made for this")),
        300..=399 => {
            Fault::unavailable(format!("the server points elsewhere ({status}); put its address in url"))
        }
        429 => Fault::Passing { message: said("the server is busy"), after, up: true },
        408 | 424 | 425 | 500..=599 => {
            Fault::Passing { message: said("the server has a fault"), after, up: false }
        }
        _ => Fault::unavailable(said("the server refuses")),
    }
}

/// Reads a body of at most `most` bytes.
pub(super) async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, Fault> {
    let too_long = || Fault::Garbage(format!("an answer of more than {most} bytes"));
    if response
        .content_length()
        .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > most))
    {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Fault::connection)? {
        if body.len().saturating_add(chunk.len()) > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether the body is plain JSON, whatever was asked for.
pub(super) fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"))
}

/// The seconds of a `Retry-After`; one with a date is passed over, and the usual wait applies.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A server's own words in a refusal: the usual fields of a JSON body, else the body.
fn words_of(body: &[u8]) -> String {
    let whole = || String::from_utf8_lossy(body).into_owned();
    serde_json::from_slice(body).map_or_else(|_| whole(), |json| words_in(&json).unwrap_or_else(whole))
}

/// The words in the JSON of an error: `{"error": {"message": ..}}`, `{"error": ..}`, `{"message": ..}`, and
/// `{"detail": ..}` with a text or a list, as FastAPI has it.
pub(super) fn words_in(json: &serde_json::Value) -> Option<String> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let inner = ["error", "message", "detail", "msg"].iter().find_map(|field| json.get(field));
    match inner {
        Some(value) => text(value).or_else(|| words_in(value)),
        None => text(json).or_else(|| json.get(0).and_then(words_in)),
    }
}

/// Text from elsewhere as one line of at most [`MAX_WORDS`] characters, without control characters and without
/// those that turn the direction of writing.
fn one_line(text: &str) -> String {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let words = text.split(|c: char| c.is_whitespace() || hidden(c)).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default().trim_end()),
        None => line,
    }
}

/// An error of the HTTP client in one line: its kind and its innermost cause, without the address.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let what = match () {
        () if error.is_connect() => "no connection to the server",
        () if error.is_timeout() => "the server took too long",
        () => "the connection to the server broke off",
    };
    let mut inner = error.source();
    while let Some(next) = inner.and_then(std::error::Error::source) {
        inner = Some(next);
    }
    inner.map_or_else(|| what.to_owned(), |inner| format!("{what}: {}", one_line(&inner.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_servers_words_are_found() {
        let cases = [
            (r#"{"error": {"code": 400, "message": "too long", "type": "x"}}"#, "too long"),
            (r#"{"error": "too long", "error_type": "Validation"}"#, "too long"),
            (r#"{"object": "error", "message": "too long", "code": 400}"#, "too long"),
            (r#"{"detail": "too long"}"#, "too long"),
            (r#"{"detail": [{"loc": ["body"], "msg": "too long"}]}"#, "too long"),
            (r#""too long""#, "too long"),
            ("too\r\n\tlong\u{1b}[31m\0", "too long [31m"),
            ("", ""),
            ("a\u{202e}b", "a b"),
            (r#"{"x": 1}"#, r#"{"x": 1}"#),
        ];
        for (body, words) in cases {
            assert_eq!(one_line(&words_of(body.as_bytes())), words, "{body}");
        }
        assert_eq!(one_line(&"ä".repeat(MAX_WORDS)), "ä".repeat(MAX_WORDS));
        assert_eq!(one_line(&"ä".repeat(MAX_WORDS + 1)), format!("{}…", "ä".repeat(MAX_WORDS)));
    }

    #[test]
    fn paths_are_put_together() {
        let http = |url: &str| {
            let config = RemoteConfig::new("x", super::super::RemoteKind::Rerank, url, &"a".repeat(64));
            Http::new(&config).unwrap()
        };
        let there = http("http://h:1/v1/");
        assert_eq!(there.below("/models").as_str(), "http://h:1/v1/models");
        assert_eq!(there.beside("/health").as_str(), "http://h:1/health");
        let there = http("https://h/a/b");
        assert_eq!(there.below("/rerank").as_str(), "https://h/a/b/rerank");
        assert_eq!(there.beside("/health").as_str(), "https://h/a/b/health");
        assert_eq!(http("http://h").beside("/health").as_str(), "http://h/health");
    }

    proptest! {
        #[test]
        fn any_refusal_is_one_short_line(body: Vec<u8>, text: String) {
            for line in [one_line(&words_of(&body)), one_line(&words_of(text.as_bytes()))] {
                prop_assert!(line.chars().count() <= MAX_WORDS + 1);
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
