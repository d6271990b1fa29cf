//! From one connection to the next: what belongs to a connection stays there, and upgrades (RFC 9110, section 7.8) are joined.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use peerage_core::problem::Problem;
use peerage_mesh::Tasks;

/// Headers that speak of one connection, not of the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// Passes a request on by `send`, and the answer back, unchanged but for what belongs to the connection.
///
/// # Errors
///
/// What `send` fails with.
pub async fn pass<F>(
    tasks: &Tasks,
    mut request: Request<Body>,
    send: impl FnOnce(Request<Body>) -> F,
) -> Result<Response<Body>, Problem>
where
    F: Future<Output = Result<Response<Body>, Problem>>,
{
    let upgrade = Wanted::of(&request);
    strip(request.headers_mut());
    if let Some(upgrade) = &upgrade {
        upgrade.ask(request.headers_mut());
    }
    let mut response = send(request).await?;
    strip(response.headers_mut());
    Ok(match upgrade {
        Some(upgrade) => upgrade.join(response, tasks),
        None => response,
    })
}

/// Removes what belongs to the connection, and what its `Connection` header names beside that.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_owned()))
        .collect();
    for name in named {
        headers.remove(name.as_str());
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// What a client wants its connection to be used for: WebSocket, or whatever else takes one over.
#[derive(Debug)]
pub struct Wanted {
    protocol: HeaderValue,
    client: OnUpgrade,
}

impl Wanted {
    /// The wish of a request. The request keeps it, for whoever answers it here.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let protocol = request.headers().get(header::UPGRADE)?.clone();
        let named = request.headers().get_all(header::CONNECTION).iter();
        let mut named = named
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        if !named.any(|name| name.trim().eq_ignore_ascii_case("upgrade")) {
            return None;
        }
        let client = request.extensions().get::<OnUpgrade>()?.clone();
        Some(Self { protocol, client })
    }

    /// Asks the next one for the same: its headers are of one connection, and were removed.
    pub fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, self.protocol.clone());
    }

    /// Joins both connections once the next one has agreed, until either ends.
    #[must_use]
    pub fn join<B>(self, mut response: Response<B>, tasks: &Tasks) -> Response<B> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return response;
        }
        self.ask(response.headers_mut());
        // Who has answered here has joined them already.
        if response.extensions().get::<OnUpgrade>().is_none() {
            return response;
        }
        let server = hyper::upgrade::on(&mut response);
        tasks.spawn("upgraded", async move {
            let joined = async {
                let (client, server) = futures::try_join!(self.client, server)?;
                let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
                tokio::io::copy_bidirectional(&mut client, &mut server).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            };
            if let Err(error) = joined.await {
                tracing::debug!(%error, "an upgraded connection ended");
            }
        });
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_of_the_connection_goes_and_the_rest_stays() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "keep-alive, x-hop".parse().unwrap());
        headers.insert("x-hop", "1".parse().unwrap());
        headers.insert("transfer-encoding", "chunked".parse().unwrap());
        headers.insert("mcp-session-id", "s".parse().unwrap());
        headers.insert("x-vendor", "v".parse().unwrap());
        strip(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["mcp-session-id", "x-vendor"]);
    }
}
