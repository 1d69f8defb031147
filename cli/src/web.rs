//! `poq web`: serves the page of the network.

use crate::{
    args::{Shared, Web},
    failure::{Failure, Outcome},
    render,
};
use serde_json::json;
use std::{future::IntoFuture as _, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{signal, SignalKind},
    sync::oneshot,
    time::timeout,
};

/// Time that open connections have for their end after the signal to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// `poq web`. Serves until a signal says to stop. It asks no node: the page does, from the browser.
pub async fn run(web: &Web, shared: &Shared) -> Result<Outcome, Failure> {
    let endpoint = &shared.url;
    if !poq_web::is_for_browsers(endpoint) {
        return Err(Failure::Input(format!(
            "`{endpoint}` is no address that a browser can ask: --url takes ws://HOST:PORT or wss://HOST:PORT"
        )));
    }
    let listener = TcpListener::bind(web.listen).await.map_err(|error| {
        Failure::Input(format!(
            "cannot listen at {}: {error}; --listen takes another address, and port 0 a free port",
            web.listen
        ))
    })?;
    let address =
        listener.local_addr().map_err(|error| Failure::Input(format!("cannot tell the address: {error}")))?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    if !address.ip().is_loopback() && is_local(endpoint) {
        render::warning_line(&format!(
            "browsers on other machines look for the node at {endpoint} on their own machine: --url names it as they see it"
        ));
    }
    announce(address, endpoint, shared.json)?;

    let (stop, stopped) = oneshot::channel::<()>();
    let served = axum::serve(listener, poq_web::router(endpoint, None)).with_graceful_shutdown(async move {
        // An error says that the sender is gone, which is a reason to stop as well.
        let _stop = stopped.await;
    });
    let mut served = tokio::spawn(served.into_future());
    tokio::select! {
        ended = &mut served => return Err(Failure::Input(match ended {
            Ok(Err(error)) => format!("the server ended: {error}"),
            _ => "the server ended".into(),
        })),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(stop);
    // A connection that is still open then is cut off.
    let _late = timeout(FAREWELL, served).await;
    Ok(Outcome::Done)
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::Input(format!("cannot listen for signals: {error}")))
}

fn announce(address: SocketAddr, endpoint: &str, as_json: bool) -> Result<(), Failure> {
    let page = format!("http://{address}/");
    if as_json {
        render::json(&json!({ "page": page, "endpoint": endpoint }))
    } else {
        render::line(format!("The page is at {page} and asks the node at {endpoint}. Ctrl-C ends it."))
    }
}

/// Whether an address is on the machine of whoever looks it up.
fn is_local(endpoint: &str) -> bool {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_on_this_machine_is_told_apart() {
        for local in ["ws://127.0.0.1:9944", "ws://localhost:9944", "wss://[::1]:9944"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["wss://node.example", "ws://192.0.2.1:9944"] {
            assert!(!is_local(other), "{other}");
        }
    }
}
