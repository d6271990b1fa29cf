//! The doors for programs on this machine: TCP with a token, and a Unix socket with file permissions.

use std::{
    io, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    serve::ListenerExt,
};
use http::{HeaderMap, Uri, header};
use peerage_core::problem::Problem;
use peerage_mesh::Origin;
use peerage_services::{
    api::AuditVerdict,
    audit::{Audit, Event},
    failure::Failure,
};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// How long requests that have begun may take to end when the node stops.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// Ports that are tried after one that is taken; then the system chooses.
const NEXT_PORTS: u16 = 32;

/// Opens the TCP door: at `wish`, at one of the next ports when that is taken, at any when those are.
///
/// # Errors
///
/// `api_unusable` when the address itself cannot be used.
pub(crate) async fn bind_tcp(wish: SocketAddr) -> Result<TcpListener, Problem> {
    let ports = (0..=NEXT_PORTS).map(|n| wish.port().saturating_add(n));
    let mut last = None;
    for port in ports.chain([0]) {
        match TcpListener::bind(SocketAddr::new(wish.ip(), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            Err(error) => {
                last = Some(error);
                break;
            }
        }
    }
    let why = last.map_or_else(String::new, |error| format!(": {error}"));
    let text = format!("the local API cannot be at {wish}{why}");
    Err(Problem::new(500, "api_unusable", text).hint("another address: --api 127.0.0.1:0"))
}

/// Opens the socket door. A socket that a killed node has left is replaced: the store, which only one
/// node can hold, was opened before.
///
/// # Errors
///
/// `socket_unusable`.
pub(crate) fn bind_unix(path: &Path) -> Result<UnixListener, Problem> {
    let bind = || {
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|error: io::Error| {
        let text = format!("{} cannot be used: {error}", path.display());
        Problem::new(500, "socket_unusable", text).hint("another folder: --home DIR")
    })
}

/// Serves TCP clients until told to stop: those that have the token, and no web page of another site.
pub(crate) async fn tcp(
    listener: TcpListener,
    routes: Router,
    (token, audit): (String, Audit),
    stop: CancellationToken,
) {
    // An answer that streams has its head sent before its body: without this, the body waits until the
    // client's system acknowledges the head, which takes it 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a local connection may be slow");
        }
    });
    let checked = routes.layer(from_fn_with_state((Arc::<str>::from(token), audit), check));
    let serve = axum::serve(listener, checked).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serve.await {
        tracing::error!(%error, "the local API has ended");
    }
}

/// Serves clients of the socket until told to stop.
pub(crate) async fn unix(listener: UnixListener, routes: Router, stop: CancellationToken) {
    let serve = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serve.await {
        tracing::error!(%error, "the socket has ended");
    }
}

async fn check(
    State((token, audit)): State<(Arc<str>, Audit)>,
    mut request: Request,
    next: Next,
) -> Response {
    match admitted(request.headers(), &token) {
        Ok(()) => {
            // The token opens this door only: it goes no further, least of all to a peer.
            request.headers_mut().remove(header::AUTHORIZATION);
            next.run(request).await
        }
        Err(problem) => {
            let object = format!("{} {}", request.method(), request.uri().path());
            let refused = Event::new(Some(Origin::Local), AuditVerdict::Refused, "api", object);
            audit.note(refused.by(problem.code.clone()));
            Failure(problem).into_response()
        }
    }
}

/// A page in a browser can send requests here too, by its own name for this machine (DNS rebinding) or
/// across origins, so both `Host` and `Origin` must be names of this machine.
fn admitted(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    let host = text(header::HOST).unwrap_or_default();
    if !is_this_machine(&format!("http://{host}")) {
        return Err(
            Problem::new(403, "foreign_host", "the Host header names another machine")
                .hint("use http://127.0.0.1 with the port that `peerage status` shows"),
        );
    }
    if headers.contains_key(header::ORIGIN)
        && !is_this_machine(text(header::ORIGIN).unwrap_or_default())
    {
        let text = "a web page of another origin may not use the local API";
        return Err(Problem::new(403, "foreign_origin", text));
    }
    let shown = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    if shown.is_none_or(|shown| !same(shown.trim().as_bytes(), token.as_bytes())) {
        let text = "the local API asks for its token";
        return Err(Problem::new(401, "no_token", text).hint(
            "Authorization: Bearer TOKEN, with the text of the file that `peerage status` names",
        ));
    }
    Ok(())
}

fn is_this_machine(url: &str) -> bool {
    let host = url
        .parse::<Uri>()
        .ok()
        .and_then(|url| url.host().map(str::to_owned));
    host.is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

/// Compares without telling by its time where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_this_machine_with_the_token_comes_in() {
        let token = ("authorization", "Bearer secret");
        let code = |list: &[_]| admitted(&headers(list), "secret").map_err(|p| p.code);
        assert_eq!(code(&[("host", "127.0.0.1:7337"), token]), Ok(()));
        assert_eq!(code(&[("host", "localhost:7337"), token]), Ok(()));
        assert_eq!(code(&[("host", "[::1]:7337"), token]), Ok(()));
        let page = ("origin", "http://localhost:3000");
        assert_eq!(code(&[("host", "127.0.0.1"), page, token]), Ok(()));
        let refused = |code: &str| Err(code.to_owned());
        assert_eq!(code(&[("host", "127.0.0.1")]), refused("no_token"));
        let wrong = ("authorization", "Bearer secreT");
        assert_eq!(code(&[("host", "127.0.0.1"), wrong]), refused("no_token"));
        assert_eq!(
            code(&[("host", "evil.example"), token]),
            refused("foreign_host")
        );
        assert_eq!(code(&[token]), refused("foreign_host"));
        for page in [
            "http://evil.example",
            "null",
            "http://127.0.0.1.evil.example",
        ] {
            let list = [("host", "127.0.0.1"), ("origin", page), token];
            assert_eq!(code(&list), refused("foreign_origin"), "{page}");
        }
    }
}
