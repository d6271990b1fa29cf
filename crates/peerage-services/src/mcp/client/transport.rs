//! The SDK's Streamable HTTP client over [`HttpCall`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use peerage_core::problem::Problem;
use rmcp::{
    ErrorData,
    model::{ClientJsonRpcMessage, ClientRequest, ServerJsonRpcMessage, ServerResult},
    transport::streamable_http_client::{
        SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::{Sse, SseStream};

use crate::context::may_have_been_sent;

use super::{
    HttpCall, error,
    exchange::{Exchange, Exchanges},
};

/// The largest answer in bytes, alone or as an event of a stream: what a shared command may answer.
pub(super) const MAX_ANSWER_BYTES: usize = (64 << 20) + (64 << 10);

/// The largest answer to a failed request, in bytes.
const MAX_ERROR_BYTES: usize = Problem::MAX_BYTES;

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

type Headers = HashMap<HeaderName, HeaderValue>;
type Failure = StreamableHttpError<Problem>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// Why the session could not begin: the SDK keeps only words of it.
#[derive(Clone, Debug, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<Problem>>>);

impl LastFailure {
    pub(super) fn take(&self) -> Option<Problem> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, problem: Problem) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }
}

#[derive(Clone)]
pub(super) struct HttpTransport {
    http: Arc<dyn HttpCall>,
    exchanges: Arc<Exchanges>,
    failure: LastFailure,
}

impl HttpTransport {
    pub(super) fn new(http: Arc<dyn HttpCall>, exchanges: Arc<Exchanges>) -> Self {
        Self {
            http,
            exchanges,
            failure: LastFailure::default(),
        }
    }

    pub(super) fn failure(&self) -> LastFailure {
        self.failure.clone()
    }

    async fn post(
        &self,
        request: Request<Body>,
        message: &ClientJsonRpcMessage,
        max_event: usize,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let has_session = request.headers().contains_key(SESSION);
        let response = self
            .http
            .call(request)
            .await
            .map_err(StreamableHttpError::Client)?;
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if status == StatusCode::NOT_FOUND && has_session {
            return Err(StreamableHttpError::SessionExpired);
        }
        if !status.is_success() {
            return refusal(response, message).await;
        }
        let session = text_header(&response, &SESSION);
        if is_type(&response, EVENTS) {
            let events = self.events(response, max_event);
            return Ok(StreamableHttpPostResponse::Sse(events, session));
        }
        let is_json = is_type(&response, JSON);
        let content_type = text_header(&response, &header::CONTENT_TYPE);
        let body = read(response, MAX_ANSWER_BYTES).await?;
        // Only a request waits for an answer; for the rest, whatever came is fine.
        if !matches!(message, ClientJsonRpcMessage::Request(_)) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if !is_json {
            return Err(StreamableHttpError::UnexpectedContentType(content_type));
        }
        self.exchanges.observe(&body);
        let answer = serde_json::from_slice(&body)?;
        let answer = fall_back_unless_discovered(message, answer);
        Ok(StreamableHttpPostResponse::Json(answer, session))
    }

    fn events(&self, response: Response<Body>, max_event: usize) -> Events {
        let exchanges = self.exchanges.clone();
        let bytes = limit_events(response.into_body().into_data_stream(), max_event);
        SseStream::from_bytes_stream(bytes)
            .inspect(move |event| {
                if let Ok(Some(data)) = event.as_ref().map(|event| &event.data) {
                    exchanges.observe(data.as_bytes());
                }
            })
            .boxed()
    }
}

impl StreamableHttpClient for HttpTransport {
    type Error = Problem;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        self.post_message_with_max_sse_event_size(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            MAX_ANSWER_BYTES,
        )
        .await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let body = Body::from(serde_json::to_vec(&message)?);
        let mut request = build(Method::POST, &uri, session_id.as_deref(), body)?;
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        request.headers_mut().extend(custom_headers);
        let exchange = Exchange::of(&message);
        if let Some(exchange) = &exchange {
            self.exchanges.begin(&message, exchange);
            exchange.mark_sent(true);
        }
        let answer = self.post(request, &message, max_sse_event_size).await;
        match (&answer, exchange) {
            (Err(StreamableHttpError::Client(problem)), Some(exchange)) => {
                exchange.mark_sent(may_have_been_sent(problem));
                exchange.fail(problem.clone());
            }
            (Err(StreamableHttpError::Client(problem)), None) => self.failure.set(problem.clone()),
            (
                Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(refused), _)),
                None,
            ) => {
                let problem = error::upstream_gone(refused.error.message.clone());
                self.failure.set(problem);
            }
            // The server knows nothing of this session, so it executed nothing.
            (Err(StreamableHttpError::SessionExpired), Some(exchange)) => exchange.mark_sent(false),
            _ => {}
        }
        answer
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<(), Failure> {
        let mut request = build(Method::DELETE, &uri, Some(&session_id), Body::empty())?;
        request.headers_mut().extend(custom_headers);
        let answer = self.http.call(request).await;
        match answer.map_err(StreamableHttpError::Client)?.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                Err(StreamableHttpError::ServerDoesNotSupportDeleteSession)
            }
            _ => Ok(()),
        }
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: Headers,
    ) -> Result<Events, Failure> {
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            MAX_ANSWER_BYTES,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<Events, Failure> {
        let mut request = build(Method::GET, &uri, session_id.as_deref(), Body::empty())?;
        request.headers_mut().extend(custom_headers);
        if let Some(Ok(id)) = last_event_id.map(HeaderValue::try_from) {
            request.headers_mut().insert(LAST_EVENT, id);
        }
        let answer = self.http.call(request).await;
        let response = answer.map_err(StreamableHttpError::Client)?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        if !response.status().is_success() {
            return Err(StreamableHttpError::Client(problem(response).await?));
        }
        if !is_type(&response, EVENTS) {
            let content_type = text_header(&response, &header::CONTENT_TYPE);
            return Err(StreamableHttpError::UnexpectedContentType(content_type));
        }
        Ok(self.events(response, max_sse_event_size))
    }
}

fn build(
    method: Method,
    uri: &str,
    session: Option<&str>,
    body: Body,
) -> Result<Request<Body>, Failure> {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        // Servers on loopback answer to loopback names only; who is meant stands in the call itself.
        .header(header::HOST, "localhost")
        .header(header::ACCEPT, BOTH);
    if let Some(session) = session {
        request = request.header(SESSION, session);
    }
    request
        .body(body)
        .map_err(|error| StreamableHttpError::Client(error::bad_answer(error.to_string())))
}

/// What a request that was not accepted comes to.
async fn refusal(
    response: Response<Body>,
    message: &ClientJsonRpcMessage,
) -> Result<StreamableHttpPostResponse, Failure> {
    let status = response.status();
    if let ClientJsonRpcMessage::Request(request) = message
        && matches!(request.request, ClientRequest::DiscoverRequest(_))
        && says_legacy(status)
    {
        let body = read(response, MAX_ERROR_BYTES).await?;
        let error = match serde_json::from_slice(&body) {
            Ok(ServerJsonRpcMessage::Error(error)) => error.error,
            _ => ErrorData::invalid_request(format!("server/discover: HTTP {status}"), None),
        };
        let answer = ServerJsonRpcMessage::error(error, Some(request.id.clone()));
        return Ok(StreamableHttpPostResponse::Json(answer, None));
    }
    let is_auth = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    if is_auth || !is_type(&response, JSON) {
        return Err(StreamableHttpError::Client(problem(response).await?));
    }
    let body = read(response, MAX_ERROR_BYTES).await?;
    match serde_json::from_slice(&body) {
        Ok(answer @ ServerJsonRpcMessage::Error(_)) => {
            Ok(StreamableHttpPostResponse::Json(answer, None))
        }
        _ => Err(StreamableHttpError::Client(unexplained(status, &body))),
    }
}

/// A server that answers anything to any method does not thereby know `server/discover`.
fn fall_back_unless_discovered(
    asked: &ClientJsonRpcMessage,
    answer: ServerJsonRpcMessage,
) -> ServerJsonRpcMessage {
    let ClientJsonRpcMessage::Request(request) = asked else {
        return answer;
    };
    match (&request.request, &answer) {
        (ClientRequest::DiscoverRequest(_), ServerJsonRpcMessage::Response(response))
            if !matches!(response.result, ServerResult::DiscoverResult(_)) =>
        {
            let error = ErrorData::invalid_request("server/discover: not an answer to it", None);
            ServerJsonRpcMessage::error(error, Some(request.id.clone()))
        }
        _ => answer,
    }
}

/// Whether a server that refuses `server/discover` so is one of the protocol before it.
fn says_legacy(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The problem an answer tells of, or one made from its status.
async fn problem(response: Response<Body>) -> Result<Problem, Failure> {
    let status = response.status();
    let told = is_type(&response, Problem::MEDIA_TYPE);
    let body = read(response, MAX_ERROR_BYTES).await?;
    Ok(match Problem::from_json(&body) {
        Some(problem) if told => problem,
        _ => unexplained(status, &body),
    })
}

fn unexplained(status: StatusCode, body: &[u8]) -> Problem {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(SHOWN).collect();
    let code = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "refused",
        StatusCode::NOT_FOUND => "not_found",
        _ if status.is_server_error() => "upstream_failed",
        _ => "bad_answer",
    };
    Problem::new(status.as_u16(), code, format!("HTTP {status}: {shown}"))
}

async fn read(response: Response<Body>, limit: usize) -> Result<Bytes, Failure> {
    axum::body::to_bytes(response.into_body(), limit)
        .await
        .map_err(|error| {
            StreamableHttpError::Client(error::upstream_gone(format!(
                "the answer broke off or is too long: {error}"
            )))
        })
}

fn text_header(response: &Response<Body>, name: &HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

fn is_type(response: &Response<Body>, wanted: &str) -> bool {
    text_header(response, &header::CONTENT_TYPE).is_some_and(|found| {
        let media = found.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case(wanted)
    })
}

#[derive(Debug, thiserror::Error)]
#[error("an event is longer than {0} bytes")]
struct EventTooLong(usize);

/// Ends a stream of events at the first one that is longer than `max` bytes.
fn limit_events(
    bytes: impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static,
    max: usize,
) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static {
    let (mut event, mut line, mut over) = (0_usize, 0_usize, false);
    bytes
        .map(move |chunk| {
            let chunk = chunk?;
            for byte in &chunk {
                event += 1;
                match byte {
                    b'\n' if line == 0 => event = 0,
                    b'\n' => line = 0,
                    b'\r' => {}
                    _ => line += 1,
                }
                over |= event > max;
            }
            if over {
                return Err(axum::Error::new(EventTooLong(max)));
            }
            Ok(chunk)
        })
        .scan(false, |ended, chunk| {
            let after_end = std::mem::replace(ended, chunk.is_err());
            futures::future::ready((!after_end).then_some(chunk))
        })
}
