//! Requests of downloads.
//!
//! Redirects are followed here and not by the library, because two rules depend on where they lead: a token goes to the
//! origin (scheme, host and port) that it is for, and never again once a redirect has left that origin; and unencrypted
//! HTTP is used with other machines only where that was allowed.

use super::source::shown;
use crate::web;
use reqwest::Url;
use std::time::Duration;
use ureq::{http::Response, typestate::WithoutBody, Agent, Body, RequestBuilder};

/// Longest wait for a connection, for an answer, and for the next bytes of a file.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most redirects of one request.
const MOST_REDIRECTS: u32 = 10;

/// Error of a download.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another try may help.
    Passing(String),
    /// A fault that a retry does not mend.
    Lasting(String),
    /// The server refuses with this status, and another try will not help.
    Refused(u16),
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub url: &'a Url,
    /// A bearer token for the origin of `url`.
    pub token: Option<&'a str>,
    pub headers: &'a [(&'static str, String)],
}

/// Sends requests. Answers of any status are answers.
pub(super) struct Client {
    agent: Agent,
    allow_http: bool,
}

impl Client {
    /// `allow_http`: whether unencrypted HTTP may be used with other machines.
    pub(super) fn new(allow_http: bool) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            // A file is wanted as it is: what is packed on the way has another length and no ranges.
            .accept_encoding("identity")
            .user_agent(concat!("poq-worker/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: agent.into(), allow_http }
    }

    /// The answer with the content.
    pub(super) fn get(&self, request: Request<'_>) -> Result<Response<Body>, Trouble> {
        self.send(request, |url| self.agent.get(url), |_| false)
    }

    /// The first answer that is `enough`, or else the last one; without content.
    pub(super) fn head(
        &self,
        request: Request<'_>,
        enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Trouble> {
        self.send(request, |url| self.agent.head(url), enough)
    }

    fn send(
        &self,
        request: Request<'_>,
        begin: impl Fn(&str) -> RequestBuilder<WithoutBody>,
        enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Trouble> {
        let (mut url, mut token) = (request.url.clone(), request.token);
        for _ in 0..=MOST_REDIRECTS {
            self.check(&url)?;
            let mut next = begin(url.as_str());
            for (name, value) in request.headers {
                next = next.header(*name, value);
            }
            if let Some(token) = token {
                next = next.header("authorization", format!("Bearer {token}"));
            }
            let response = next.call().map_err(trouble)?;
            if !is_redirect(&response) || enough(&response) {
                return Ok(response);
            }
            let target = target(&url, &response)?;
            if target.origin() != url.origin() {
                token = None;
            }
            url = target;
        }
        Err(Trouble::Lasting("the server sends from one address to the next without end".to_owned()))
    }

    fn check(&self, url: &Url) -> Result<(), Trouble> {
        if self.allow_http || !web::is_exposed(url) {
            return Ok(());
        }
        Err(Trouble::Lasting(format!(
            "{} is unencrypted HTTP: whoever is in between can read and change what comes; use https, or add \
             --allow-http if you trust that network",
            shown(url.as_str())
        )))
    }
}

/// Whether the answer points elsewhere. 304 and 300 do not.
fn is_redirect(response: &Response<Body>) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Target of a redirect of `from`.
fn target(from: &Url, response: &Response<Body>) -> Result<Url, Trouble> {
    let location = header(response, "location").and_then(|location| from.join(location).ok());
    location.and_then(|url| web::parse(url.as_str())).ok_or_else(|| {
        let status = response.status().as_u16();
        Trouble::Lasting(format!("the server points elsewhere (status {status}) and names no web address"))
    })
}

/// The header `name`, if it is there and is text.
pub(super) fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Fault of a failed request. The error's text is shown only where it cannot hold the address.
fn trouble(error: ureq::Error) -> Trouble {
    use ureq::Error;
    match error {
        Error::BadUri(_) | Error::Http(_) => Trouble::Lasting("this is not a web address".to_owned()),
        Error::HostNotFound => Trouble::Lasting("no such host, or no network".to_owned()),
        Error::Io(error) => Trouble::Passing(format!("no connection ({error})")),
        Error::Timeout(_) => Trouble::Passing("the server does not answer".to_owned()),
        error => Trouble::Passing(format!("no connection ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        web::parse(text).unwrap()
    }

    #[test]
    fn unencrypted_http_with_other_machines_has_to_be_allowed() {
        let (strict, lenient) = (Client::new(false), Client::new(true));
        for text in ["https://example.org/m", "http://127.0.0.1:1/m", "http://localhost/m", "http://[::1]/m"]
        {
            assert!(strict.check(&url(text)).is_ok(), "{text}");
        }
        let exposed = url("http://me:secret@example.org/m?key=secret");
        let Err(Trouble::Lasting(error)) = strict.check(&exposed) else { panic!("refused") };
        assert!(error.contains("--allow-http") && !error.contains("secret"), "{error}");
        assert!(lenient.check(&exposed).is_ok());
    }

    #[test]
    fn redirects_lead_to_web_addresses_only() {
        let leads = |location: Option<&str>| {
            let mut response = Response::builder().status(302);
            if let Some(location) = location {
                response = response.header("location", location);
            }
            let response = response.body(Body::builder().data("")).unwrap();
            assert!(is_redirect(&response));
            target(&url("https://example.org/a/b"), &response).map(|url| url.to_string())
        };
        assert_eq!(leads(Some("c")).unwrap(), "https://example.org/a/c");
        assert_eq!(leads(Some("/c")).unwrap(), "https://example.org/c");
        assert_eq!(leads(Some("//other.org/c")).unwrap(), "https://other.org/c");
        for nowhere in [None, Some("file:///etc/passwd"), Some("ftp://example.org/x"), Some("http://")] {
            let Err(Trouble::Lasting(error)) = leads(nowhere) else { panic!("{nowhere:?}") };
            assert!(error.contains("302"), "{error}");
        }
    }

    #[test]
    fn an_error_does_not_show_the_address() {
        let secret = trouble(ureq::Error::BadUri("http://secret".to_owned()));
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
