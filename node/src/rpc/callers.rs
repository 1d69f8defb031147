//! Who calls: whether unsafe methods are served to a request, and which address counts for the rate limit.
//!
//! Unsafe methods insert keys, read the engine's token and stop peers. They are for the operator's own programs on the node's own
//! machine, so a request must look like one of these in every respect that a web page or a proxy cannot change.

use forwarded_header_value::ForwardedHeaderValue;
use http::{
    header::{FORWARDED, HOST, ORIGIN},
    uri::Authority,
    HeaderMap, HeaderName, Request,
};
use sc_rpc::DenyUnsafe;
use sc_service::RpcMethods;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether `request`, which came in at an address that is or is not loopback, is denied unsafe methods.
///
/// A page is always denied them, even one whose origin is allowed: its origin says where it was loaded from and not who wrote it.
/// With `auto` a caller is served them on loopback only, if it called the machine by a name of its loopback (a page can make its
/// own name stand for 127.0.0.1) and no proxy passed the request on.
pub fn deny_unsafe<B>(request: &Request<B>, methods: RpcMethods, loopback: bool) -> DenyUnsafe {
    let headers = request.headers();
    let own = match methods {
        RpcMethods::Unsafe => true,
        RpcMethods::Safe => false,
        RpcMethods::Auto => loopback && names_loopback(request) && !passed_on(headers),
    };
    match own && !headers.contains_key(ORIGIN) {
        true => DenyUnsafe::No,
        false => DenyUnsafe::Yes,
    }
}

/// Whether the request calls this machine by a name or an address of its loopback.
fn names_loopback<B>(request: &Request<B>) -> bool {
    let header = request.headers().get(HOST).map(|host| host.as_bytes());
    let called = header.or_else(|| request.uri().authority().map(|authority| authority.as_str().as_bytes()));
    let Some(authority) = called.and_then(|called| Authority::try_from(called).ok()) else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a proxy says that it passed the request on.
fn passed_on(headers: &HeaderMap) -> bool {
    [FORWARDED, X_FORWARDED_FOR, X_REAL_IP].iter().any(|name| headers.contains_key(name))
}

/// The caller's address as the proxy in front says it, for whoever trusts that proxy.
pub fn address_behind_proxy(headers: &HeaderMap) -> Option<IpAddr> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let forwarded = text(FORWARDED).and_then(|text| ForwardedHeaderValue::from_forwarded(text).ok());
    let first = forwarded.and_then(|value| value.remotest_forwarded_for_ip());
    let listed = text(X_FORWARDED_FOR).and_then(|text| ForwardedHeaderValue::from_x_forwarded_for(text).ok());
    first
        .or_else(|| listed.and_then(|value| value.remotest_forwarded_for_ip()))
        .or_else(|| text(X_REAL_IP)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(methods: RpcMethods, loopback: bool, headers: &[(&str, &str)]) -> bool {
        let builder =
            headers.iter().fold(Request::post("/"), |builder, (name, value)| builder.header(*name, *value));
        matches!(deny_unsafe(&builder.body(()).unwrap(), methods, loopback), DenyUnsafe::Yes)
    }

    #[test]
    fn the_operators_own_programs_are_served_and_nobody_else() {
        let own = ("host", "127.0.0.1:9944");
        for host in ["localhost:9944", "LocalHost", "[::1]:9944", "127.0.0.1"] {
            assert!(!denied(RpcMethods::Auto, true, &[("host", host)]), "{host}");
        }
        for host in ["evil.example:9944", "127.0.0.1.evil.example", "10.0.0.2:9944", ""] {
            assert!(denied(RpcMethods::Auto, true, &[("host", host)]), "{host}");
        }
        assert!(denied(RpcMethods::Auto, true, &[]), "no host");
        assert!(denied(RpcMethods::Auto, false, &[own]), "an open port");
        assert!(denied(RpcMethods::Safe, true, &[own]));
        for proxy in
            [("forwarded", "for=10.0.0.2"), ("x-forwarded-for", "10.0.0.2"), ("x-real-ip", "10.0.0.2")]
        {
            assert!(denied(RpcMethods::Auto, true, &[own, proxy]), "{proxy:?}");
            assert!(!denied(RpcMethods::Unsafe, true, &[own, proxy]), "who says unsafe filters in front");
        }
    }

    #[test]
    fn no_page_is_ever_served_unsafe_methods() {
        for methods in [RpcMethods::Auto, RpcMethods::Unsafe] {
            for origin in ["null", "http://127.0.0.1:9944", "https://evil.example"] {
                assert!(denied(methods, true, &[("host", "127.0.0.1:9944"), ("origin", origin)]), "{origin}");
            }
        }
        assert!(!denied(RpcMethods::Unsafe, false, &[("host", "node.example")]));
    }

    #[test]
    fn the_address_behind_a_proxy_is_the_farthest() {
        let behind = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            address_behind_proxy(&headers).map(|address| address.to_string())
        };
        let expected = Some("192.0.2.60".to_owned());
        assert_eq!(behind("forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43"), expected);
        assert_eq!(behind("x-forwarded-for", "192.0.2.60, 203.0.113.43"), expected);
        assert_eq!(behind("x-real-ip", "192.0.2.60"), expected);
        assert_eq!(behind("x-real-ip", "nobody"), None);
        assert_eq!(behind("host", "192.0.2.60"), None);
    }
}
