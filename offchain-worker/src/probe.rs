//! Health checks of an engine, as the node beside it makes them.

use crate::api::{health::Health, models::ModelInfo};
use reqwest::{redirect::Policy, Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Timeout of one request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reason why an engine gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The engine refused the token.
    #[error("it refuses the token")]
    Refused,
    /// No engine answered. The same cause always gives the same text.
    #[error("{0}")]
    Down(String),
}

/// HTTP client for health checks.
#[derive(Clone, Debug)]
pub struct Probe {
    client: Client,
}

impl Probe {
    /// A client. Fails where no HTTPS client can be made.
    pub fn new() -> Result<Self, Silence> {
        // Fails if another part of the process has installed it already; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE).build();
        Ok(Self { client: client.map_err(down)? })
    }

    /// Whether the engine at `url` takes requests, and its version.
    pub async fn health(&self, url: &str) -> Result<Health, Silence> {
        let response = self.client.get(format!("{url}/health")).send().await.map_err(down)?;
        read(response).await?.ok_or_else(|| Silence::Down("it is no engine: it knows no /health".to_owned()))
    }

    /// The model with this id (or name), if the engine at `url` has it.
    pub async fn model(&self, url: &str, token: &str, id: &str) -> Result<Option<ModelInfo>, Silence> {
        let request = self.client.get(format!("{url}/v1/models/{id}")).bearer_auth(token);
        read(request.send().await.map_err(down)?).await
    }
}

/// The requested value; `None` if the engine does not have it.
async fn read<T: DeserializeOwned>(response: Response) -> Result<Option<T>, Silence> {
    match response.status() {
        StatusCode::OK => response.json().await.map(Some).map_err(down),
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Silence::Refused),
        other => Err(Silence::Down(format!("HTTP {}", other.as_u16()))),
    }
}

/// The innermost cause of the error: the outer ones only repeat the address.
fn down(error: reqwest::Error) -> Silence {
    if error.is_timeout() {
        return Silence::Down("no answer in time".to_owned());
    }
    if error.is_decode() {
        return Silence::Down("its answer makes no sense".to_owned());
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Silence::Down(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{http::HeaderMap, routing::get, Json, Router};
    use serde_json::json;

    /// A server that answers these two paths, and its address.
    async fn server(health: &'static str) -> String {
        let guarded = |headers: HeaderMap| async move {
            match headers.get("authorization").map(|value| value.to_str()) {
                Some(Ok("Bearer right")) => (StatusCode::NOT_FOUND, Json(json!({"error": {}}))),
                _ => (StatusCode::UNAUTHORIZED, Json(json!({"error": {}}))),
            }
        };
        let routes = Router::new()
            .route("/health", get(move || async move { health }))
            .route("/v1/models/x", get(guarded));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(socket, routes).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn causes_are_told_apart() {
        let probe = Probe::new().unwrap();
        let url = server(r#"{"status":"ok","version":"9.9"}"#).await;
        assert_eq!(probe.health(&url).await.unwrap().version, "9.9");
        assert_eq!(probe.model(&url, "right", "x").await, Ok(None));
        assert_eq!(probe.model(&url, "wrong", "x").await, Err(Silence::Refused));

        let url = server("hello").await;
        assert_eq!(probe.health(&url).await, Err(Silence::Down("its answer makes no sense".into())));
        let silent = probe.health("http://127.0.0.1:1").await.unwrap_err();
        assert!(silent.to_string().contains("refused"), "{silent}");
        assert_eq!(silent, probe.health("http://127.0.0.1:1").await.unwrap_err(), "the same words each time");
    }
}
