//! `GET /v1/events`: ends of requests as they become final.

use super::{App, Refusal};
use axum::{
    extract::{rejection::QueryRejection, Query, State},
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{stream, Stream, StreamExt as _};
use serde::Deserialize;
use std::{collections::VecDeque, convert::Infallible};
use tokio::sync::OwnedSemaphorePermit;

/// Header in which a browser says what it had last.
const LAST: &str = "last-event-id";

/// Ends that are read from the database at a time.
const BATCH: u32 = 100;

/// Where to begin.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Since {
    /// Begin with requests that ended in this block [default: what ends from now on]
    since: Option<u64>,
}

/// A listener.
struct Listener {
    app: App,
    /// Block and number of the last request that was told.
    told: (u64, Option<u64>),
    next: VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

/// A stream that never ends: one event `request` for each, with an id to go on from.
#[utoipa::path(get, path = "/v1/events", tag = "history", params(Since), responses(
    (status = 200, content_type = "text/event-stream", body = String,
        description = "`event: request`, `data:` as in /v1/requests, `id: BLOCK-REQUEST`. A client that names its last id in the header \
            Last-Event-ID, as browsers do, goes on after it and misses none."),
))]
pub async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let Query(Since { since }) = since?;
    let place = app.streams.clone().try_acquire_owned().map_err(|_| Refusal::too_many_streams())?;
    let now = app.progress.borrow().cursor.as_ref().map_or(0, |cursor| cursor.number);
    let last = headers.get(LAST).map(|value| value.to_str().ok().and_then(parse));
    let told = match (last, since) {
        (Some(None), _) => return Err(Refusal::invalid("Last-Event-ID is BLOCK-REQUEST, as in the events")),
        (Some(Some((block, request))), _) => (block, Some(request)),
        (None, Some(block)) => (block, None),
        (None, None) => (now.saturating_add(1), None),
    };
    let listener = Listener { app, told, next: VecDeque::new(), _place: place };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events.boxed()).keep_alive(KeepAlive::default()))
}

fn parse(id: &str) -> Option<(u64, u64)> {
    let (block, request) = id.split_once('-')?;
    Some((block.parse().ok()?, request.parse().ok()?))
}

impl Listener {
    /// The next event, when there is one; `None` if the history is gone.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(event);
            }
            // Before the database is read: a block that comes in between is told of again, and read then.
            self.app.progress.mark_unchanged();
            let (block, request) = self.told;
            match self.app.store.ended_since(block, request, BATCH).await {
                Ok(ended) => {
                    for (block, request, summary) in ended {
                        self.told = (block, Some(request));
                        let event = Event::default().event("request").id(format!("{block}-{request}"));
                        self.next.push_back(event.data(summary.get()));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a stream of events ends");
                    return None;
                }
            }
            if self.next.is_empty() {
                self.app.progress.changed().await.ok()?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_block_and_a_request() {
        assert_eq!(parse("7-12"), Some((7, 12)));
        for bad in ["", "7", "7-", "-7", "7-x", "7-1-2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
