//! The web pages that may talk to the node: `--rpc-cors`.
//!
//! A browser sends the origin of the page in the header `Origin`, with the handshake of a WebSocket as with every call that is no plain
//! link. Programs send none.

use http::{header::ORIGIN, HeaderMap, HeaderValue};

/// The ports that a browser leaves out of an origin.
const USUAL_PORTS: [(&str, &str); 2] = [("http://", ":80"), ("https://", ":443")];

/// The origins that are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    All,
    /// Origins that match one of these.
    These(Vec<Pattern>),
}

/// One origin, or all ports of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `scheme://host`, `scheme://host:port` or `null`.
    Exactly(String),
    /// `scheme://host`, written as `scheme://host:*`.
    AnyPort(String),
}

impl Origins {
    /// The origins of `--rpc-cors`; `None` is all.
    ///
    /// Errors: a value that no browser sends.
    pub fn new(allowed: Option<&[String]>) -> anyhow::Result<Self> {
        let Some(allowed) = allowed else { return Ok(Self::All) };
        if allowed.iter().any(|origin| matches!(origin.trim(), "*" | "all")) {
            return Ok(Self::All);
        }
        let patterns = allowed.iter().map(|origin| {
            Pattern::parse(origin).ok_or_else(|| {
                anyhow::anyhow!(
                    "`{origin}` of --rpc-cors is no origin: write scheme://host or scheme://host:port (`*` is any port) with nothing \
                     behind, as in https://app.example.org, or `null`, or `all`"
                )
            })
        });
        Ok(Self::These(patterns.collect::<Result<_, _>>()?))
    }

    /// Whether a request with these headers is let in: it has no origin, or only allowed ones.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| self.allow(origin))
    }

    /// Whether a page of this origin is let in.
    pub fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::All => true,
            Self::These(patterns) => origin.to_str().is_ok_and(|origin| {
                let origin = origin.to_ascii_lowercase();
                patterns.iter().any(|pattern| pattern.matches(&origin))
            }),
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "null" {
            return Some(Self::Exactly(text));
        }
        let (scheme, host) = text.split_once("://")?;
        let (host, any_port) = host.strip_suffix(":*").map_or((host, false), |host| (host, true));
        let plain = |character: char| character.is_ascii_graphic() && !"/?#@*\\\"".contains(character);
        if scheme.is_empty() || host.is_empty() || !scheme.chars().chain(host.chars()).all(plain) {
            return None;
        }
        let origin = format!("{scheme}://{host}");
        if any_port {
            return Some(Self::AnyPort(origin));
        }
        let usual = USUAL_PORTS.iter().find(|(scheme, _)| origin.starts_with(scheme));
        let shorter = usual.and_then(|(_, port)| origin.strip_suffix(port)).map(str::to_owned);
        Some(Self::Exactly(shorter.unwrap_or(origin)))
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exactly(allowed) => origin == allowed,
            Self::AnyPort(host) => origin.strip_prefix(host.as_str()).is_some_and(|port| {
                port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(allowed: &[&str]) -> anyhow::Result<Origins> {
        Origins::new(Some(&allowed.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>()))
    }

    fn allows(origins: &Origins, origin: &str) -> bool {
        origins.allow(&HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn an_origin_is_compared_as_a_whole() {
        let local =
            origins(&["http://localhost:*", "https://app.example.org:443", "HTTP://[::1]:8080"]).unwrap();
        for allowed in [
            "http://localhost",
            "http://localhost:3000",
            "https://app.example.org",
            "HTTPS://APP.example.org",
            "http://[::1]:8080",
        ] {
            assert!(allows(&local, allowed), "{allowed}");
        }
        for foreign in [
            "null",
            "",
            "https://localhost:3000",
            "http://localhost.evil.example:3000",
            "http://localhost:3000.evil.example",
            "http://localhost:",
            "http://localhost:3000/",
            "https://app.example.org.evil.example",
            "https://app.example.org:8443",
            "http://app.example.org",
            "http://[::1]",
        ] {
            assert!(!allows(&local, foreign), "{foreign}");
        }
        assert!(allows(&origins(&["null"]).unwrap(), "null"));
    }

    #[test]
    fn no_origin_comes_in_and_of_several_each_must_be_allowed() {
        let one = origins(&["https://app.example.org"]).unwrap();
        let mut headers = HeaderMap::new();
        assert!(one.admit(&headers));
        headers.append(ORIGIN, HeaderValue::from_static("https://app.example.org"));
        assert!(one.admit(&headers));
        headers.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!one.admit(&headers));
        headers.insert(ORIGIN, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!one.admit(&headers));
    }

    #[test]
    fn all_is_all_and_what_is_no_origin_is_refused() {
        assert_eq!(Origins::new(None).unwrap(), Origins::All);
        assert_eq!(origins(&["https://app.example.org", "*"]).unwrap(), Origins::All);
        for wrong in [
            "",
            "app.example.org",
            "https://app.example.org/",
            "https://*.example.org",
            "https://",
            "://x",
            "https://a b",
        ] {
            let error = origins(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")) && error.contains("scheme://host"), "{error}");
        }
    }
}
