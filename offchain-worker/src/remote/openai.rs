//! Generation by a server that speaks the chat API of OpenAI: vLLM, SGLang, llama-server and many more.

use super::{
    http::{self, Fault},
    retry::retrying,
    sse::{Event, Parser},
    Remote,
};
use crate::{
    text::{End, Text},
    work::{Caller, Finish, Generated, Generation, Message},
};
use reqwest::Response;
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tokio::{sync::mpsc::Sender, time::timeout};

/// Time that a stream is read after its finish reason: the count of tokens comes then, if at all.
const AFTER_THE_END: Duration = Duration::from_secs(2);

/// The body of a request.
#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Message],
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    seed: u32,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// An answer, or a part of one in a stream.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// Fault of `work`, if it has one.
pub(super) fn check(work: &Generation) -> Result<(), Fault> {
    let wrong = match () {
        () if work.messages.is_empty() => "there is no message",
        () if work.max_tokens == 0 || work.max_bytes == 0 => "max_tokens and max_bytes are at least 1",
        () if !(work.temperature >= 0.0 && work.temperature.is_finite()) => "temperature is 0 or above",
        () if !(work.top_p > 0.0 && work.top_p <= 1.0) => "top_p is above 0 and at most 1",
        () if work.stop.iter().any(String::is_empty) => "a stop sequence is empty",
        () if !work.extras.is_empty() => {
            "response_format, tools, logprobs and continue_final_message are for models of this machine; a server \
             elsewhere does the work of this one"
        }
        () => return Ok(()),
    };
    Err(Fault::invalid(wrong))
}

/// Does `work`, and does it again after a fault that may pass, unless a piece was shown already.
pub(super) async fn generate(
    remote: &Remote,
    caller: Caller,
    deadline: Instant,
    work: &Generation,
    pieces: Option<&Sender<String>>,
) -> Result<Generated, Fault> {
    let shown = &AtomicBool::new(false);
    let show = pieces.map(|pieces| Show { pieces, shown });
    let unseen = || !shown.load(Ordering::Acquire);
    retrying(&remote.config, deadline, unseen, || once(remote, caller, work, show)).await
}

/// Receiver of the pieces.
#[derive(Clone, Copy)]
struct Show<'a> {
    pieces: &'a Sender<String>,
    shown: &'a AtomicBool,
}

impl Show<'_> {
    async fn piece(self, text: String) -> Result<(), Fault> {
        if text.is_empty() {
            return Ok(());
        }
        self.shown.store(true, Ordering::Release);
        self.pieces.send(text).await.map_err(|_| Fault::cancelled())
    }
}

async fn once(
    remote: &Remote,
    caller: Caller,
    work: &Generation,
    show: Option<Show<'_>>,
) -> Result<Generated, Fault> {
    let _place = remote.http.place(caller).await?;
    let model = model_name(remote).await?;
    let body = Request {
        model: &model,
        messages: &work.messages,
        max_tokens: work.max_tokens,
        temperature: work.temperature,
        top_p: work.top_p,
        // llama.cpp reads the highest seed as "choose one at random", and results must repeat.
        seed: if work.seed == u32::MAX { 0 } else { work.seed },
        stop: &work.stop,
        stream: show.is_some(),
        stream_options: show.map(|_| StreamOptions { include_usage: true }),
    };
    let url = remote.http.below("/chat/completions");
    let response = remote.http.send(remote.http.post(url, &body)).await.inspect_err(|fault| {
        // Its list of models may be another one by now.
        if matches!(fault, Fault::Final { up: false, .. }) {
            remote.choose(None);
        }
    })?;
    match show {
        // A server may pass over `stream`.
        Some(show) if !http::is_json(&response) => streamed(remote, work, response, show).await,
        _ => plain(remote, work, response, show).await,
    }
}

/// Name of the model at the server: as configured, or the first of its list.
async fn model_name(remote: &Remote) -> Result<String, Fault> {
    if let Some(name) = remote.config.remote_model.clone().or_else(|| remote.chosen()) {
        return Ok(name);
    }
    let first = models(remote).await?.into_iter().next();
    let first = first.ok_or_else(|| Fault::unavailable("the server lists no model; set remote_model"))?;
    tracing::info!(remote = remote.config.name, model = first, "the server's first model is taken");
    remote.choose(Some(first.clone()));
    Ok(first)
}

/// The server's names of its models.
pub(super) async fn models(remote: &Remote) -> Result<Vec<String>, Fault> {
    let response = remote.http.send(remote.http.get(remote.http.below("/models"))).await?;
    let models: Models = remote.http.json(response).await?;
    Ok(models.data.into_iter().map(|model| model.id).collect())
}

/// An answer in one body.
async fn plain(
    remote: &Remote,
    work: &Generation,
    response: Response,
    show: Option<Show<'_>>,
) -> Result<Generated, Fault> {
    let mut writing = Writing::new(work);
    let mut text = writing.take(remote, remote.http.json(response).await?)?;
    text.push_str(&writing.rest());
    if let Some(show) = show {
        show.piece(text).await?;
    }
    writing.done()
}

/// An answer as it is written.
async fn streamed(
    remote: &Remote,
    work: &Generation,
    mut response: Response,
    show: Show<'_>,
) -> Result<Generated, Fault> {
    let (mut parser, mut events, mut writing) = (Parser::default(), Vec::new(), Writing::new(work));
    'reading: while let Some(bytes) = next(&mut response, writing.finish.is_some()).await? {
        let bad = |error| Fault::Garbage(format!("a stream that is none: {error}"));
        parser.push(bytes.as_ref(), &mut events).map_err(bad)?;
        for event in events.drain(..) {
            if event.is_done() {
                break 'reading;
            }
            let text = writing.take(remote, answer_in(remote, &event)?)?;
            show.piece(text).await?;
            if writing.text.end().is_some() {
                // The rest is not wanted: the connection is closed, and the server stops.
                break 'reading;
            }
        }
    }
    let last = writing.rest();
    let done = writing.done()?;
    show.piece(last).await?;
    Ok(done)
}

/// The next bytes. After the text's end there may be none, and how the connection ends then does not matter.
async fn next(response: &mut Response, at_the_end: bool) -> Result<Option<impl AsRef<[u8]> + use<>>, Fault> {
    if !at_the_end {
        return response.chunk().await.map_err(Fault::connection);
    }
    Ok(timeout(AFTER_THE_END, response.chunk()).await.ok().and_then(Result::ok).flatten())
}

fn answer_in(remote: &Remote, event: &Event) -> Result<Answer, Fault> {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&event.data);
    if event.name == "error" {
        return Err(broken(remote, &parsed.unwrap_or_else(|_| event.data.as_str().into())));
    }
    let answer = parsed.and_then(serde_json::from_value);
    answer.map_err(|error| {
        Fault::Garbage(format!("a part of an answer that is not what the API says: {error}"))
    })
}

/// An error that the server sends in place of a part of the answer.
fn broken(remote: &Remote, error: &serde_json::Value) -> Fault {
    let words = remote.http.redact(http::words_in(error).unwrap_or_else(|| error.to_string()));
    let code =
        error.get("code").or_else(|| error.get("error")?.get("code")).and_then(serde_json::Value::as_u64);
    match code {
        Some(400 | 413 | 422) => Fault::invalid(format!("the server refuses the work: {words}")),
        _ => Fault::Passing { message: format!("the server broke off: {words}"), after: None, up: true },
    }
}

/// An answer under way.
struct Writing {
    text: Text,
    usage: Usage,
    finish: Option<Finish>,
}

impl Writing {
    fn new(work: &Generation) -> Self {
        // A server that never ends must not fill the memory either.
        let most = usize::try_from(work.max_bytes).unwrap_or(usize::MAX).min(http::MAX_BODY_BYTES);
        Self { text: Text::new(&work.stop, most), usage: Usage::default(), finish: None }
    }

    /// Takes in an answer or a part of one; what may be shown.
    fn take(&mut self, remote: &Remote, answer: Answer) -> Result<String, Fault> {
        if let Some(error) = answer.error.filter(|error| !error.is_null()) {
            return Err(broken(remote, &error));
        }
        self.usage = answer.usage.unwrap_or(self.usage);
        let Some(choice) = answer.choices.into_iter().next() else { return Ok(String::new()) };
        if let Some(reason) = choice.finish_reason {
            self.finish = Some(if reason == "length" { Finish::Length } else { Finish::Stop });
        }
        let content = choice.message.and_then(|said| said.content);
        self.text.push(content.unwrap_or_default().as_bytes());
        Ok(self.text.piece().unwrap_or_default())
    }

    /// Text that was held back and belongs to the answer after all.
    fn rest(&mut self) -> String {
        self.text.finish();
        self.text.piece().unwrap_or_default()
    }

    fn done(self) -> Result<Generated, Fault> {
        // Our own end comes before the server's.
        let own = self.text.end().map(|end| match end {
            End::Stop => Finish::Stop,
            End::Full => Finish::Length,
        });
        let finish = own.or(self.finish);
        let finish =
            finish.ok_or_else(|| Fault::Garbage("an answer that does not say why it ended".into()))?;
        let count = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        Ok(Generated {
            text: self.text.as_str().to_owned(),
            prompt_tokens: count(self.usage.prompt_tokens),
            tokens: count(self.usage.completion_tokens),
            finish,
            logprobs: Vec::new(),
        })
    }
}
