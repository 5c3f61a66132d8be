//! Who may ask the admin listener: requests with a foreign `Host` or `Origin` are refused, so that
//! no web page can reach it through a name that it made point here; tokens are compared in
//! constant time.

use crate::config::{Admin, AdminToken};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{FromFnLayer, Next, from_fn};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

/// What is asked of every request but those for `/live` and `/ready`.
#[derive(Debug)]
pub(super) struct Guard {
    names: Vec<String>,
    /// Whether it listens on all addresses of this machine, each of which may be asked for: no page
    /// can make an address lead elsewhere, as it can a name.
    any_address: bool,
    tokens: Vec<AdminToken>,
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

impl Guard {
    pub(super) fn new(admin: &Admin, address: SocketAddr) -> Guard {
        let local = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let host = address.to_string();
        let host = host.rsplit_once(':').map_or(&*host, |(host, _)| host).to_owned();
        let names = local.into_iter().chain([host]).chain(admin.hosts.iter().cloned());
        Guard {
            names: names.map(|name| name.to_ascii_lowercase()).collect(),
            any_address: address.ip().is_unspecified(),
            tokens: admin.tokens.clone(),
        }
    }

    /// The guard as a layer; an open route asks for no token.
    pub(super) fn layer(
        self: &Arc<Self>,
        open: bool,
    ) -> FromFnLayer<impl Fn(Request, Next) -> Answer + Clone + Send + Sync + 'static, (), (Request,)>
    {
        let guard = Arc::clone(self);
        from_fn(move |request: Request, next: Next| -> Answer {
            let refused = guard.refuse(request.headers(), open);
            Box::pin(async move {
                match refused {
                    None => next.run(request).await,
                    Some(refused) => refused.into_response(),
                }
            })
        })
    }

    fn refuse(&self, headers: &HeaderMap, open: bool) -> Option<Refused> {
        let text = |name| {
            headers.get(name).map(|value| value.to_str().unwrap_or_default().to_ascii_lowercase())
        };
        let host = text(header::HOST).unwrap_or_default();
        let origin = text(header::ORIGIN);
        let is_own = self.knows(&host) || self.any_address && is_address(&host);
        if !is_own
            || origin.is_some_and(|origin| !self.knows(origin.split("://").last().unwrap_or("")))
        {
            return Some(Refused::Host);
        }
        let given = text_of_token(headers);
        let allowed = open
            || self.tokens.is_empty()
            || self.tokens.iter().any(|token| same(token.token.expose(), given));
        (!allowed).then_some(Refused::Token)
    }

    fn knows(&self, authority: &str) -> bool {
        let host = without_port(authority);
        self.names.iter().any(|name| name == host)
    }
}

fn without_port(authority: &str) -> &str {
    let port = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    port.map_or(authority, |(host, _)| host)
}

fn is_address(authority: &str) -> bool {
    let host = without_port(authority);
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

fn text_of_token(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" }
}

/// Compares without telling by its time how much of a guess was right.
fn same(token: &str, given: &str) -> bool {
    let differs = token.bytes().zip(given.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    std::hint::black_box(differs) == 0 && token.len() == given.len()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Host,
    Token,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, message, fix) = match self {
            Refused::Host => (
                StatusCode::FORBIDDEN,
                "foreign_host",
                "the Host or Origin of this request is not known here",
                "use the listener's own address, or add the name to `admin.hosts`",
            ),
            Refused::Token => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this needs a token",
                "send `Authorization: Bearer …` with one of `admin.tokens`",
            ),
        };
        let body = Json(json!({ "error": { "code": code, "message": message, "fix": fix } }));
        match self {
            Refused::Host => (status, body).into_response(),
            Refused::Token => {
                (status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Role, Secret};

    #[test]
    fn on_all_addresses_each_address_may_be_asked_for_and_no_name() {
        let admin = Admin {
            listen: "0.0.0.0:9077".parse().unwrap(),
            configured: true,
            hosts: Vec::new(),
            tokens: Vec::new(),
            metrics_open: false,
        };
        for (listens, host, origin, allowed) in [
            ("0.0.0.0:9077", "192.0.2.7:9077", "", true),
            ("[::]:9077", "[2001:db8::1]:9077", "", true),
            ("[::]:9077", "192.0.2.7", "", true),
            ("0.0.0.0:9077", "evil.example:9077", "", false),
            ("0.0.0.0:9077", "192.0.2.7:9077", "http://192.0.2.8", false),
            ("192.0.2.1:9077", "192.0.2.7:9077", "", false),
        ] {
            let guard = Guard::new(&admin, listens.parse().unwrap());
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(
                guard.refuse(&headers, false).is_none(),
                allowed,
                "{listens} {host} {origin}"
            );
        }
    }

    #[test]
    fn who_may_ask() {
        let admin = |tokens: &[&str]| Admin {
            listen: "127.0.0.1:9077".parse().unwrap(),
            configured: true,
            hosts: vec!["Metrics.internal".into()],
            tokens: tokens
                .iter()
                .map(|token| AdminToken {
                    name: "a".into(),
                    token: Secret::new((*token).into()),
                    role: Role::Read,
                })
                .collect(),
            metrics_open: false,
        };
        let guard = |tokens| Guard::new(&admin(tokens), "10.1.2.3:9077".parse().unwrap());
        for (tokens, headers, refused) in [
            (&[][..], &[("host", "127.0.0.1:9077")][..], None),
            (&[], &[("host", "localhost")], None),
            (&[], &[("host", "[::1]:9077")], None),
            (&[], &[("host", "10.1.2.3:9077")], None),
            (&[], &[("host", "metrics.internal")], None),
            (&[], &[("host", "evil.example")], Some(Refused::Host)),
            (&[], &[], Some(Refused::Host)),
            (&[], &[("host", "localhost"), ("origin", "http://evil.example")], Some(Refused::Host)),
            (&[], &[("host", "localhost"), ("origin", "http://localhost:3000")], None),
            (&["s3cret"], &[("host", "localhost")], Some(Refused::Token)),
            (&["s3cret"], &[("host", "localhost"), ("authorization", "Bearer s3cret")], None),
            (&["s3cret"], &[("host", "localhost"), ("authorization", "bearer s3cret")], None),
            (
                &["s3cret"],
                &[("host", "localhost"), ("authorization", "Bearer s3cre")],
                Some(Refused::Token),
            ),
            (
                &["s3cret"],
                &[("host", "localhost"), ("authorization", "Basic s3cret")],
                Some(Refused::Token),
            ),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(guard(tokens).refuse(&map, false), refused, "{tokens:?} {headers:?}");
        }
    }
}
