//! The page of a Proof of Quality network: the files of `dist/`, and the routes that serve them.
//!
//! The files are built from `app/` by `scripts/build-web.sh` and committed, so that nobody needs Node.js to compile this crate.
//! `docs/web.md` is the handbook.

pub mod health;

use axum::{
    extract::Path,
    http::{
        header::{self, HeaderName, HeaderValue},
        HeaderMap, StatusCode,
    },
    middleware,
    response::{IntoResponse, Response},
    routing::get,
    Json, Router,
};
use include_dir::{include_dir, Dir};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// The built files.
static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/dist");

const INDEX: &str = "index.html";

/// Folder of the files whose names hold a hash of their contents.
const HASHED: &str = "assets/";

/// The content security policy of the page. `index.html` holds the same one but for `frame-ancestors`, which counts in a header only: so it also
/// holds where another server has the files. `connect-src` allows every node, because the user chooses it.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every response.
fn security() -> [(HeaderName, &'static str); 5] {
    [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ]
}

/// Whether a browser can ask a node at this address.
pub fn is_for_browsers(endpoint: &str) -> bool {
    endpoint.starts_with("ws://") || endpoint.starts_with("wss://")
}

/// The routes of the page: its files, and in place of the file of that name `config.json`. It names the node's `endpoint` (a `ws://` or `wss://`
/// address as browsers see it) and, if there is one, the address of a `history`, which must be on the same server: the page connects to no other.
pub fn router(endpoint: &str, history: Option<&str>) -> Router {
    let history = history.map(|history| ("history", history.to_owned()));
    let config: BTreeMap<_, _> = [("endpoint", endpoint.to_owned())].into_iter().chain(history).collect();
    Router::new()
        .route("/config.json", get(move || async move { fresh(Json(config)) }))
        .route("/", get(|headers: HeaderMap| async move { file(INDEX, &headers) }))
        .route(
            "/{*path}",
            get(|Path(path): Path<String>, headers: HeaderMap| async move { file(&path, &headers) }),
        )
        .layer(middleware::map_response(secured))
}

/// A response that is asked for anew each time.
fn fresh(response: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-cache")], response).into_response()
}

/// A file of the page, or 304 if the caller has it, or 404.
fn file(path: &str, asked: &HeaderMap) -> Response {
    let Some(file) = FILES.get_file(path) else {
        return fresh((StatusCode::NOT_FOUND, "There is no such file. The page is at /.\n"));
    };
    let contents = file.contents();
    let tag = tag(contents);
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let about = [(header::CACHE_CONTROL, caching), (header::ETAG, tag.as_str())];
    if is_known(asked, &tag) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, kind(path))], contents).into_response()
}

/// Whether the caller has the contents with this tag.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let said = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = said.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// A tag for caches. It protects nothing, so that a hash for tables is enough.
fn tag(contents: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// The media type of a file.
fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The same response with the headers that keep the page safe.
async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in security() {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails a test")]
mod tests {
    use super::*;
    use axum::{
        body::{to_bytes, Body},
        http::{Method, Request},
    };
    use tower::ServiceExt as _;

    const ENDPOINT: &str = "ws://127.0.0.1:9944/\"";

    async fn answer(
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response =
            router(ENDPOINT, Some("v1/")).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    #[test]
    fn an_endpoint_is_what_a_browser_can_ask() {
        for good in ["ws://127.0.0.1:9944", "wss://node.example"] {
            assert!(is_for_browsers(good), "{good}");
        }
        for bad in ["http://127.0.0.1:9944", "127.0.0.1:9944", ""] {
            assert!(!is_for_browsers(bad), "{bad}");
        }
    }

    fn script() -> String {
        let page = FILES.get_file(INDEX).unwrap().contents_utf8().unwrap();
        let from = page.find("assets/index-").unwrap();
        page[from..].split('"').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn the_page_and_its_files_come_with_types_and_the_policy() {
        let script = format!("/{}", script());
        let cases = [
            ("/", "text/html; charset=utf-8"),
            ("/index.html", "text/html; charset=utf-8"),
            ("/icon.svg", "image/svg+xml"),
        ];
        for (path, kind) in cases.into_iter().chain([(&*script, "text/javascript; charset=utf-8")]) {
            let (status, headers, body) = answer(Method::GET, path, &[]).await;
            assert_eq!(
                (status, &headers[header::CONTENT_TYPE]),
                (StatusCode::OK, &HeaderValue::from_static(kind)),
                "{path}"
            );
            assert!(!body.is_empty());
            for (name, value) in security() {
                assert_eq!(headers[name], value, "{path}");
            }
            let (status, headers, body) = answer(Method::HEAD, path, &[]).await;
            assert_eq!((status, body.len()), (StatusCode::OK, 0), "{path}");
            assert_ne!(headers[header::CONTENT_LENGTH], "0", "{path}");
        }
    }

    #[tokio::test]
    async fn files_with_a_hash_in_their_name_are_kept_for_ever_and_others_are_asked_for_anew() {
        let (_, page, _) = answer(Method::GET, "/", &[]).await;
        let (_, file, _) = answer(Method::GET, &format!("/{}", script()), &[]).await;
        assert_eq!(page[header::CACHE_CONTROL], "no-cache");
        assert_eq!(file[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        let tag = page[header::ETAG].to_str().unwrap();
        assert_ne!(tag, file[header::ETAG]);
        for known in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let (status, headers, body) = answer(Method::GET, "/", &[(header::IF_NONE_MATCH, &known)]).await;
            assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!(headers[header::ETAG], tag);
        }
        let (status, ..) = answer(Method::GET, "/", &[(header::IF_NONE_MATCH, "\"other\"")]).await;
        assert_eq!(status, StatusCode::OK);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found_and_nothing_is_taken() {
        for path in
            ["/nothing", "/assets", "/assets/", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"]
        {
            let (status, headers, _) = answer(Method::GET, path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(headers[header::CONTENT_SECURITY_POLICY], CONTENT_SECURITY_POLICY);
        }
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(answer(method, "/", &[]).await.0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[tokio::test]
    async fn the_configuration_names_the_node() {
        let (status, headers, body) = answer(Method::GET, "/config.json", &[]).await;
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::OK, &HeaderValue::from_static("application/json"))
        );
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        let named = r#"{"endpoint":"ws://127.0.0.1:9944/\"","history":"v1/"}"#;
        assert_eq!(String::from_utf8(body).unwrap(), named);
        let request = Request::builder().uri("/config.json").body(Body::empty()).unwrap();
        let alone = router(ENDPOINT, None).oneshot(request).await.unwrap().into_body();
        let alone = to_bytes(alone, usize::MAX).await.unwrap();
        assert_eq!(alone, r#"{"endpoint":"ws://127.0.0.1:9944/\""}"#);
    }

    #[test]
    fn the_page_holds_the_policy_and_nothing_inline() {
        let page = FILES.get_file(INDEX).unwrap().contents_utf8().unwrap();
        let (in_page, _) = CONTENT_SECURITY_POLICY.split_once("; frame-ancestors").unwrap();
        assert!(page.contains(&format!("content=\"{in_page}\"")), "{page}");
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("onload="), "{page}");
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" crossorigin src=\"./assets/").count()
        );
    }

    #[test]
    fn every_file_has_a_known_type() {
        let mut folders = vec![&FILES];
        while let Some(folder) = folders.pop() {
            folders.extend(folder.dirs());
            for file in folder.files() {
                let path = file.path().to_str().unwrap();
                assert_ne!(kind(path), "application/octet-stream", "{path}");
            }
        }
    }
}
