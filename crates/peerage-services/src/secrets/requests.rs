//! Requests of this machine to peers.

use axum::body::{Body, HttpBody, to_bytes};
use http::{HeaderValue, Request, Uri};
use peerage_core::{PeerId, problem::Problem, secrets};
use peerage_mesh::Origin;

use super::{
    Message, Mode, Place, Secrets,
    body::{Refused, Searched, places},
    scanner::Scanner,
};

/// Bytes of a body that is searched as a whole before anything of it leaves. A longer one, or one of unknown length, is searched
/// as it leaves, and cut off before a credential.
pub(super) const WHOLE: u64 = 2 * 1024 * 1024;

/// A request that may leave; whether it left to its end is known when the call has ended.
#[derive(Debug)]
pub struct Watched {
    /// The request.
    pub request: Request<Body>,
    refused: Refused,
}

impl Watched {
    /// Takes it apart: the request, and the question why it was cut off, if it was.
    pub fn split(self) -> (Request<Body>, impl Fn() -> Option<Problem> + Send) {
        let refused = self.refused;
        (self.request, move || refused.get().cloned())
    }
}

impl Secrets {
    /// Searches a request to a peer.
    ///
    /// # Errors
    ///
    /// `secret_in_request` where it holds a credential and that is to be refused.
    pub async fn request(&self, peer: PeerId, request: Request<Body>) -> Result<Watched, Problem> {
        let mode = self.for_request(&peer);
        let refused = Refused::default();
        if mode == Mode::Off {
            return Ok(Watched { request, refused });
        }
        let message = Message {
            who: Origin::Local,
            code: "secret_in_request",
            about: format!("{peer} {} {}", request.method(), request.uri().path()),
            mode,
            events: false,
        };
        let (mut head, body) = request.into_parts();
        self.target(&message, &mut head.uri)?;
        for (name, value) in &mut head.headers {
            if let Some(written_over) = self.text(&message, value.as_bytes(), name.as_str())? {
                *value =
                    HeaderValue::from_bytes(&written_over).expect("stars may stand in a header");
            }
        }
        let body = if body.size_hint().exact().is_some_and(|size| size <= WHOLE) {
            self.whole(&message, body).await?
        } else {
            Body::new(Searched::new(body, self, message, refused.clone()))
        };
        let request = Request::from_parts(head, body);
        Ok(Watched { request, refused })
    }

    /// Searches a body that is no longer than [`WHOLE`].
    pub(super) async fn whole(&self, message: &Message, body: Body) -> Result<Body, Problem> {
        let most = usize::try_from(WHOLE).unwrap_or(usize::MAX);
        let bytes = to_bytes(body, most).await.map_err(|error| {
            Problem::new(400, "body_lost", format!("the body ended early: {error}"))
        })?;
        let passed = Scanner::default().push(bytes, true);
        for place in places(&passed) {
            self.tell(message, &place);
            if message.mode == Mode::Refuse {
                return Err(message.problem(&place));
            }
        }
        Ok(
            if message.mode == Mode::Redact && !passed.found.is_empty() {
                passed.redacted().into()
            } else {
                passed.bytes.into()
            },
        )
    }

    fn target(&self, message: &Message, uri: &mut Uri) -> Result<(), Problem> {
        let Some(target) = uri.path_and_query() else {
            return Ok(());
        };
        if let Some(written_over) = self.text(message, target.as_str().as_bytes(), "the target")? {
            *uri = Uri::try_from(written_over.as_slice())
                .map_err(|error| Problem::new(400, "bad_path", error.to_string()))?;
        }
        Ok(())
    }

    /// Searches a text that is here as a whole. What it is to be instead, where that is something else.
    fn text(&self, message: &Message, text: &[u8], name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let found = secrets::find(text);
        let Some(first) = found.first() else {
            return Ok(None);
        };
        let place = Place {
            kind: first.kind,
            at: name.to_owned(),
        };
        self.tell(message, &place);
        match message.mode {
            Mode::Refuse => Err(message.problem(&place)),
            Mode::Redact => {
                let mut text = text.to_vec();
                secrets::redact(&mut text, &found);
                Ok(Some(text))
            }
            Mode::Warn | Mode::Off => Ok(None),
        }
    }
}
