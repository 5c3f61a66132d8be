//! The two forms of one request: HTTP/1.1 names the host in a header, HTTP/2 in the target.

use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Uri};

/// The request as HTTP/2 carries it; it goes over TLS.
pub(super) fn http2<B>(mut request: Request<B>) -> Request<B> {
    let Some(host) = request.headers_mut().remove(HOST) else { return request };
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Authority::try_from(host.as_bytes()).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// The request as HTTP/1.1 carries it.
pub(super) fn http1<B>(mut request: Request<B>) -> Request<B> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = None;
    if let Some(host) = parts.authority.take()
        && let Ok(host) = HeaderValue::from_str(host.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    // A path and query alone are always a target.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_two_forms() {
        for host in ["hooks.example.com", "h.example:8443", "[::1]:8443", "127.0.0.1"] {
            let request = Request::post("/a/b?c=d").header("host", host).header("x-y", "z");
            let request = http2(request.body(()).unwrap());
            assert_eq!(request.uri().to_string(), format!("https://{host}/a/b?c=d"));
            assert!(!request.headers().contains_key(HOST));
            let request = http1(request);
            assert_eq!(request.uri().to_string(), "/a/b?c=d");
            assert_eq!(request.headers()[HOST], host);
            assert_eq!(request.headers()["x-y"], "z");
        }
    }
}
