//! Addresses of nodes: whether what is sent there can be read or changed on the way.

use url::{Host, Url};

/// Way to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Within this machine.
    Own,
    /// Through TLS.
    Encrypted,
    /// Open to whoever is between.
    Open,
}

/// The way to the node at `url`; `None` if that is no address of a node.
///
/// Read as the client reads it that connects: by its parts and not by how it begins.
pub fn way(url: &str) -> Option<Way> {
    let url = Url::parse(url).ok().filter(Url::has_host)?;
    let is_own = match url.host()? {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    match url.scheme() {
        "ws" | "http" | "wss" | "https" if is_own => Some(Way::Own),
        "wss" | "https" => Some(Way::Encrypted),
        "ws" | "http" => Some(Way::Open),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_judged_by_scheme_and_host() {
        let own = [
            "ws://127.0.0.1:9944",
            "WS://LocalHost",
            "ws://[::1]:9944/",
            "ws://127.8.0.1",
            "wss://localhost",
        ];
        let open = [
            "ws://node.example:9944",
            "ws://127.0.0.1.example:9944",
            "http://10.0.0.1:9944",
            "WS://node.example:9944",
            "ws://localhost:1@node.example",
            "ws:\\\\node.example",
            "ws:/node.example",
            " ws://node.example",
            "ws://0.0.0.0:9944",
        ];
        for (url, expected) in own
            .map(|url| (url, Some(Way::Own)))
            .into_iter()
            .chain(open.map(|url| (url, Some(Way::Open))))
            .chain(["wss://node.example", "https://node.example/"].map(|url| (url, Some(Way::Encrypted))))
            .chain(["ftp://localhost", "localhost:9944", "127.0.0.1", ""].map(|url| (url, None)))
        {
            assert_eq!(way(url), expected, "{url}");
        }
    }
}
