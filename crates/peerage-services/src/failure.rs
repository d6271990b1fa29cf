//! A problem as the answer to an HTTP request: the one place where errors become HTTP.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use peerage_core::problem::Problem;

/// An answer that says what went wrong, as problem JSON (RFC 9457).
#[derive(Clone, Debug)]
pub struct Failure(pub Problem);

impl<P: Into<Problem>> From<P> for Failure {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0.to_json().into());
        *response.status_mut() =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = HeaderValue::from_static(Problem::MEDIA_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// What a route answers.
pub type Answer<T> = Result<T, Failure>;
