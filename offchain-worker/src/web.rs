//! Rules for web addresses, in one place: which are of this machine, and where others can read and change what goes over
//! the wire.

use reqwest::Url;
use std::net::IpAddr;

/// The setting that stands for every web origin.
pub const ANY_ORIGIN: &str = "*";

/// Whether `url` is an address of this machine, so that nobody can be in between.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether what goes to `url` and comes from it is neither encrypted nor kept on this machine.
pub fn is_exposed(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// The address in `text`, if it is one of the web: `http` or `https`, in any case of letters, and a host.
pub fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// Whether `text` is a web origin as browsers send it: scheme, host, and a port unless it is the scheme's own, and nothing more.
pub fn is_origin(text: &str) -> bool {
    parse(text).is_some_and(|url| url.origin().ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_host_counts_and_not_how_the_address_begins() {
        for (text, exposed) in [
            ("http://127.0.0.1", false),
            ("http://127.9.9.9:80/x", false),
            ("http://[::1]:8", false),
            ("HTTP://LocalHost/x", false),
            ("https://example.org", false),
            ("http://example.org", true),
            ("HTTP://example.org", true),
            ("http:\\\\example.org\\x", true),
            ("http://localhost:1@example.org/", true),
            ("http://127.0.0.1.example.org", true),
            ("http://localhost.example.org", true),
            ("http://0.0.0.0", true),
        ] {
            assert_eq!(is_exposed(&parse(text).unwrap()), exposed, "{text}");
        }
        for text in ["", "nowhere", "ftp://example.org/x", "file:///etc/passwd", "http://", "example.org/x"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        for origin in ["https://chat.example.org", "http://localhost:3000", "http://[::1]:8"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "https://chat.example.org/",
            "https://chat.example.org:443",
            "https://Chat.example.org",
            "https://user@chat.example.org",
            "chat.example.org",
            "null",
            "",
            "*",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in "\\PC*") {
            for text in [noise.clone(), format!("http://{noise}")] {
                let _ = parse(&text).map(|url| is_exposed(&url));
            }
        }
    }
}
