//! Calls that another node brings: taken in where they are meant, passed on where this node is a gateway.

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::State,
    routing::any,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header::VIA};
use peerage_core::{
    address::Address,
    forwarded::{self, Message, Signature, Signed},
    grant::Chain,
    policy::{self, Audience},
    problem::Problem,
};
use peerage_mesh::{Forbidden, Gating as _, Origin};

use super::{
    call::relay,
    nonces::NotTaken,
    of,
    origin::mark_own,
    path::{SEPARATOR, part, split},
};
use crate::{
    context::{Context, ask_as},
    failure::Answer,
    hop,
    members::{MAX_SHOWN, unix_now},
};

/// Below which a name stands, and behind it what is meant there: `acme/partners/bob/-/mcp/quotes`.
pub const FORWARD_PATH: &str = "/api/v1/forward/";
/// Bytes of the body of a call that is forwarded, at the most: its digest is signed, so it must be known as a whole.
const MAX_SIGNED_BODY: usize = 8 * 1024 * 1024;
/// Gateways that a call may pass, at the most.
const MAX_HOPS: usize = 4;

const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const DIGEST: HeaderName = HeaderName::from_static("content-digest");
const GRANT: HeaderName = HeaderName::from_static("peerage-grant");

/// The public routes. `own` answers, as it answers peers, for what is meant for this node. The gate lets members bring calls.
pub fn forward_routes(own: Router) -> Router<Context> {
    let arrive = move |State(ctx): State<Context>,
                       Extension(origin): Extension<Origin>,
                       request: Request<Body>| {
        let own = own.clone();
        async move { arrive(&ctx, &own, origin, request).await }
    };
    Router::new().route(&format!("{FORWARD_PATH}{{*rest}}"), any(arrive))
}

/// Makes a call one that a gateway may forward: signed by this node, with its grants.
///
/// # Errors
///
/// `too_large_to_forward` when the body has more than [`MAX_SIGNED_BODY`] bytes.
pub(super) async fn sign(
    ctx: &Context,
    name: &Address,
    request: Request<Body>,
) -> Result<Request<Body>, Problem> {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_SIGNED_BODY).await.map_err(too_large)?;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let path = path.trim_start_matches('/').to_owned();
    let target = format!("{FORWARD_PATH}{}{SEPARATOR}{path}", part(name));
    parts.uri = target
        .parse()
        .map_err(|error: http::uri::InvalidUri| Problem::new(400, "bad_path", error.to_string()))?;
    let digest = forwarded::digest(&body);
    let grants: Vec<String> = ctx.members.chains().iter().map(Chain::to_string).collect();
    let message = Message {
        method: parts.method.as_str(),
        name,
        path: &path,
        digest: &digest,
        grants: grants.iter().map(String::as_str).collect(),
    };
    let signature = forwarded::sign(&ctx.identity, &message, unix_now(), rand::random());
    let headers = &mut parts.headers;
    let value = |text: &str| HeaderValue::try_from(text).expect("it is made of visible ASCII");
    headers.insert(SIGNATURE_INPUT, value(&signature.input));
    headers.insert(SIGNATURE, value(&signature.value));
    headers.insert(DIGEST, value(&digest));
    headers.remove(GRANT);
    for grant in &grants {
        headers.append(GRANT, value(grant));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

async fn arrive(
    ctx: &Context,
    own: &Router,
    origin: Origin,
    request: Request<Body>,
) -> Answer<Response<Body>> {
    if origin == Origin::Local {
        let text = "peers bring calls here, not programs on this machine";
        return Err(Problem::new(400, "not_a_peer", text)
            .hint("/o/NAME/-/… calls by name")
            .into());
    }
    let uri = request.uri().clone();
    let path = uri.path().strip_prefix(FORWARD_PATH).unwrap_or_default();
    let (name, path) = split(path)?;
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let signed = verify(&request, &name, &target)?;
    show(ctx, &signed, request.headers())?;
    // Whom this node lets not connect does not come in by another one either.
    let allowed = ctx.policy.may_connect(&signed.by.peer_id(), None, false);
    allowed.map_err(|Forbidden(why)| {
        Problem::new(
            403,
            "not_admitted",
            format!("the caller is not let in: {why}"),
        )
    })?;
    if ctx.names.own(ctx).contains(&name) {
        return deliver(ctx, own, &name, &target, (signed, request)).await;
    }
    pass_on(ctx, own, name, &signed, request).await
}

/// Who has signed the head of a call. That the body is the one that was signed is checked where it is read.
fn verify(request: &Request<Body>, name: &Address, path: &str) -> Result<Signed, Problem> {
    let headers = request.headers();
    let bad = |text: String| {
        Problem::new(401, "bad_signature", text)
            .hint("a call is forwarded with its caller's signature (RFC 9421)")
    };
    let one = |header: &HeaderName| {
        let mut values = headers.get_all(header).iter();
        let value = values.next().and_then(|value| value.to_str().ok());
        let value = value.filter(|_| values.next().is_none());
        value.ok_or_else(|| bad(format!("the call needs one header `{header}`")))
    };
    let grants = headers.get_all(GRANT).iter();
    let grants: Option<Vec<&str>> = grants.map(|value| value.to_str().ok()).collect();
    let message = Message {
        method: request.method().as_str(),
        name,
        path,
        digest: one(&DIGEST)?,
        grants: grants.ok_or_else(|| bad("a grant cannot be read".to_owned()))?,
    };
    let signature = Signature {
        input: one(&SIGNATURE_INPUT)?.to_owned(),
        value: one(&SIGNATURE)?.to_owned(),
    };
    let signed = forwarded::verify(&message, &signature, unix_now());
    signed.map_err(|error| bad(error.to_string()))
}

/// Takes in the grants that the signer shows. One that is connected has shown them itself.
fn show(ctx: &Context, signed: &Signed, headers: &HeaderMap) -> Result<(), Problem> {
    let origin = signed.by.peer_id();
    if ctx.mesh.is_connected(&origin) {
        return Ok(());
    }
    let chains = headers.get_all(GRANT).iter().take(MAX_SHOWN);
    let chains = chains.map(|value| value.to_str().unwrap_or_default().parse::<Chain>());
    let chains = chains.collect::<Result<Vec<_>, _>>();
    let mut chains = chains.map_err(|error| Problem::new(400, "bad_grant", error.to_string()))?;
    // Whoever proves nothing here leaves no trace here.
    chains.retain(|chain| {
        let grant = ctx.members.prove(chain);
        grant.is_ok_and(|grant| grant.subject == signed.by)
    });
    if !chains.is_empty() {
        ctx.members.shown(origin, chains);
        ctx.members.gone(&origin);
    }
    Ok(())
}

/// Answers a call that is meant for this node as if its signer had made it itself.
async fn deliver(
    ctx: &Context,
    own: &Router,
    name: &Address,
    path: &str,
    (signed, request): (Signed, Request<Body>),
) -> Answer<Response<Body>> {
    let now = unix_now();
    let origin = signed.by.peer_id();
    // Nothing is remembered of calls that would be refused anyway.
    policy::decide(&Audience::Mesh, &ctx.members.caller(origin), now).into_result()?;
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_SIGNED_BODY).await.map_err(too_large)?;
    let digest = parts.headers.get(DIGEST);
    let digest = digest.and_then(|digest| digest.to_str().ok());
    forwarded::check_digest(digest.unwrap_or_default(), &body)
        .map_err(|error| Problem::new(401, "bad_signature", error.to_string()))?;
    match ctx.names.nonces().take(&signed, now) {
        Ok(()) => {}
        Err(NotTaken::Replayed) => {
            let text = "this call was taken before: each is signed anew";
            return Err(Problem::new(409, "replayed", text).into());
        }
        Err(NotTaken::Full) => {
            let text = "no further forwarded call can be remembered now";
            return Err(Problem::new(503, "busy", text)
                .hint("try again in a moment")
                .into());
        }
    }
    parts.uri = format!("/{path}")
        .parse::<Uri>()
        .map_err(|error| Problem::new(400, "bad_path", error.to_string()))?;
    for header in [SIGNATURE_INPUT, SIGNATURE, DIGEST, GRANT, VIA] {
        parts.headers.remove(header);
    }
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = ask_as(own, Origin::Peer(origin), request).await;
    mark_own(ctx, name, response.headers_mut());
    Ok(response)
}

/// Passes a call on whose signer may call through this node.
async fn pass_on(
    ctx: &Context,
    own: &Router,
    name: Address,
    signed: &Signed,
    mut request: Request<Body>,
) -> Answer<Response<Body>> {
    let Some(audience) = ctx.names.gateways.audience(&name) else {
        let text = format!("this node does not bear {name}, and forwards nothing for it");
        return Err(Problem::new(403, "not_forwarded", text)
            .hint("`[[forwards]]` in its configuration lists what it forwards")
            .into());
    };
    let caller = ctx.members.caller(signed.by.peer_id());
    policy::decide(audience, &caller, unix_now()).into_result()?;
    let passed = via(request.headers());
    let me = ctx.me().to_base58();
    if passed.contains(&me.as_str()) || passed.len() >= MAX_HOPS {
        let text = format!("the call has passed {}", passed.join(", "));
        return Err(Problem::new(508, "forwarding_loop", text)
            .hint("the gateways name each other: look at `[[gateways]]` of each")
            .into());
    }
    let hop = HeaderValue::try_from(format!("1.1 {me}")).expect("an id is ASCII");
    request.headers_mut().append(VIA, hop);
    let meant = of(ctx, name).await?;
    let send = |request| async { Ok(relay(ctx, own, meant, request).await?.1) };
    Ok(hop::pass(&ctx.tasks, request, send).await?)
}

/// The gateways that a call has passed.
fn via(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(VIA).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let hops = values.flat_map(|value| value.split(','));
    hops.filter_map(|hop| hop.split_whitespace().nth(1))
        .collect()
}

fn too_large(error: axum::Error) -> Problem {
    let text = format!("the body cannot be signed as a whole: {error}");
    let hint = "through a gateway a body has at most 8 MiB; call the peer directly for more";
    Problem::new(413, "too_large_to_forward", text).hint(hint)
}
