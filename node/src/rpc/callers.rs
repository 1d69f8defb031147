//! The rights of a caller, and its address for the rate limit.
//!
//! Unsafe methods insert keys, read the engine's token and stop peers. They are for the operator's own tools, at the control socket
//! (see [`super::control`]), and at a port only where `--rpc-methods unsafe` says so.

use forwarded_header_value::ForwardedHeaderValue;
use http::{
    header::{FORWARDED, ORIGIN},
    HeaderMap, HeaderName,
};
use sc_rpc::DenyUnsafe;
use sc_service::RpcMethods;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether a request with these headers is denied unsafe methods.
///
/// `auto`, the default of an endpoint that does not choose, is `safe`. A page is always denied them, even one whose origin is
/// allowed: its origin says where it was loaded from and not who wrote it.
pub fn deny_unsafe(headers: &HeaderMap, methods: RpcMethods) -> DenyUnsafe {
    match methods {
        RpcMethods::Unsafe if !headers.contains_key(ORIGIN) => DenyUnsafe::No,
        RpcMethods::Unsafe | RpcMethods::Safe | RpcMethods::Auto => DenyUnsafe::Yes,
    }
}

/// The caller's address by the headers of a trusted proxy.
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
    use http::HeaderValue;

    #[test]
    fn unsafe_methods_are_for_programs_where_they_are_chosen() {
        let denied = |methods, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            matches!(deny_unsafe(&headers, methods), DenyUnsafe::Yes)
        };
        assert!(!denied(RpcMethods::Unsafe, None));
        assert!(denied(RpcMethods::Safe, None) && denied(RpcMethods::Auto, None));
        for page in ["null", "http://127.0.0.1:9944", "https://evil.example"] {
            assert!(denied(RpcMethods::Unsafe, Some(page)), "{page}");
        }
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
