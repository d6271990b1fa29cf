//! A client of a node's local API over TCP, as a program on this machine would be.

use std::{fs, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use peerage::Node;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::WITHIN;

/// Bytes of an answer, at the most.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// What the API answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// Its content type.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

impl Answered {
    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `code` of the problem that it must be.
    ///
    /// # Panics
    ///
    /// When it is no problem document.
    #[must_use]
    pub fn problem(&self) -> String {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16(), "{json}");
        let code = json["code"].as_str().unwrap_or_default();
        assert!(!code.is_empty() && json["detail"].is_string(), "{json}");
        code.to_owned()
    }
}

/// Where the local API is, and its token.
#[derive(Clone)]
pub struct LocalApi {
    address: SocketAddr,
    token: String,
}

impl std::fmt::Debug for LocalApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalApi")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl LocalApi {
    /// The API of a node.
    ///
    /// # Panics
    ///
    /// When the node does not say where that is.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let status = node.status();
        let address = status.api.trim_start_matches("http://").parse();
        let token = fs::read_to_string(&status.token_file).expect("the token is there");
        Self {
            address: address.expect("the API is at an address"),
            token: token.trim().to_owned(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request with the token, without a body.
    pub async fn get(&self, path: &str) -> Answered {
        self.send(self.request(Method::GET, path), "").await
    }

    /// A request with the token and a JSON body.
    pub async fn json(&self, method: Method, path: &str, body: &str) -> Answered {
        let request = self.request(method, path);
        self.send(
            request.header(header::CONTENT_TYPE, "application/json"),
            body,
        )
        .await
    }

    /// A request with the token, to be described further.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        self.bare(method, path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::HOST, self.address.to_string())
    }

    /// A request without token and host.
    #[must_use]
    pub fn bare(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path)
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Panics
    ///
    /// When no answer comes in time.
    pub async fn send(&self, request: http::request::Builder, body: &str) -> Answered {
        let request = request
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(body.to_owned())))
            .expect("the request is well-formed");
        let exchange = async {
            let stream = TcpStream::connect(self.address).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let answer = async {
                let (head, body) = sender.send_request(request).await?.into_parts();
                let body = Limited::new(body, MAX_ANSWER).collect().await;
                anyhow::Ok((head, body.map_err(anyhow::Error::from_boxed)?.to_bytes()))
            };
            let (_, answer) = tokio::join!(connection, answer);
            answer
        };
        let (head, body) = timeout(WITHIN, exchange)
            .await
            .expect("an answer comes in time")
            .expect("the API answers");
        let content_type = head.headers.get(header::CONTENT_TYPE);
        Answered {
            status: head.status,
            content_type: content_type
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            headers: head.headers,
            body,
        }
    }
}
