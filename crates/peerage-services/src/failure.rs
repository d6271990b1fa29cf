//! A problem as the answer to an HTTP request: the one place where errors become HTTP.

use axum::{
    Json, Router,
    extract::{
        FromRequest, Request,
        rejection::{BytesRejection, JsonRejection},
    },
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Uri, header::CONTENT_TYPE};
use peerage_core::problem::Problem;
use serde::de::DeserializeOwned;

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
        response.extensions_mut().insert(Code(self.0.code));
        response
    }
}

/// The code of the problem that an answer is: an extension of the response, for whoever notes refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code(pub String);

/// What a route answers.
pub type Answer<T> = Result<T, Failure>;

/// A JSON body that was asked with. What is wrong with it is told as a problem, as every failure is.
#[derive(Clone, Copy, Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(unreadable(&rejection).into()),
        }
    }
}

fn unreadable(rejection: &JsonRejection) -> Problem {
    let code = match rejection {
        JsonRejection::MissingJsonContentType(_) => "unsupported_media_type",
        JsonRejection::BytesRejection(rejection) => return unread(rejection),
        _ => "bad_request",
    };
    Problem::new(rejection.status().as_u16(), code, rejection.body_text())
}

/// A body that could not be taken in.
#[must_use]
pub fn unread(rejection: &BytesRejection) -> Problem {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        _ => "bad_request",
    };
    Problem::new(rejection.status().as_u16(), code, rejection.body_text())
}

/// The routes, with problems for what is not among them.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
}

async fn no_route(uri: Uri) -> Failure {
    let text = format!("there is nothing at {}", uri.path().escape_debug());
    Problem::new(404, "no_such_route", text).into()
}

async fn no_method(method: Method, uri: Uri) -> Failure {
    let text = format!("{method} cannot be done at {}", uri.path().escape_debug());
    Problem::new(405, "method_not_allowed", text).into()
}
