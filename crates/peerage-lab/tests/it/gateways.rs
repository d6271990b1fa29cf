//! Calls through a gateway: the last node decides about the caller, whoever brings the call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use peerage::{Node, Problem};
use peerage_core::{
    Identity,
    address::Address,
    did::Did,
    forwarded::{self, LIFE, Message},
    peer_book::Relation,
};
use peerage_lab::{Lab, LocalApi, Place, related};
use peerage_mesh::Tasks;
use peerage_services::{
    api::ShareRequest,
    members::unix_now,
    names::{self, Forwards, Gateways, Via},
    shares::ShareSpec,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    asked::{ask, problem},
    by_name::{call, echo, path, post, upgraded},
    grants::{below, gift, give, stop},
    strangers::{ready, share},
};

/// The home of a mesh, and how others of it are started.
struct Home {
    place: Place,
    root: Node,
}

impl Home {
    async fn start(lab: &Lab) -> Self {
        let place = lab.place("home");
        let root = place.start().await;
        Self { place, root }
    }

    fn name(&self, path: &str) -> Address {
        below(&self.root, path)
    }

    /// A member that bears a name.
    async fn member(&self, lab: &Lab, path: &str, gateways: Gateways) -> Node {
        let place = lab.place(&path.replace('/', "-")).knowing(&self.place);
        let node = place.builder().gateways(gateways).spawn().await.unwrap();
        node.join(&self.root.invite(60).unwrap()).await.unwrap();
        related(&self.root, node.peer_id(), Relation::Member).await;
        give(
            &self.root,
            gift(&node, self.name(path), &["be", "call"], 600),
        )
        .await
        .unwrap();
        node
    }

    fn via(&self, gate: &str) -> Vec<Via> {
        vec![Via {
            prefix: self.name("partners"),
            via: self.name(gate),
        }]
    }

    fn forwards(&self, allow: &str) -> Vec<Forwards> {
        vec![Forwards {
            prefix: self.name("partners"),
            audience: allow.parse().unwrap(),
        }]
    }
}

/// A caller, a gateway that forwards for `allow`, and Bob behind it, who shares `quotes` with the caller's name alone.
struct Partners {
    home: Home,
    caller: Node,
    gate: Node,
    bob: Node,
    calls: Arc<AtomicUsize>,
}

impl Partners {
    async fn start(lab: &Lab, allow: impl Fn(&Home) -> Vec<Forwards>) -> Self {
        let home = Home::start(lab).await;
        let forwards = Gateways {
            forwards: allow(&home),
            via: Vec::new(),
        };
        let via = Gateways {
            via: home.via("gate"),
            forwards: Vec::new(),
        };
        let gate = home.member(lab, "gate", forwards).await;
        let bob = home.member(lab, "partners/bob", Gateways::default()).await;
        let caller = home.member(lab, "staff/ann", via).await;
        let calls = share(&bob, "quotes", home.name("staff/ann").as_str());
        ready(&bob, "quotes").await;
        Self {
            home,
            caller,
            gate,
            bob,
            calls,
        }
    }

    fn name(&self) -> Address {
        self.home.name("partners/bob")
    }

    fn tool(&self) -> String {
        format!("{}/quotes/touch", self.name())
    }

    async fn stop(self) {
        stop([self.home.root, self.caller, self.gate, self.bob]).await;
    }
}

#[tokio::test]
async fn the_last_node_decides_about_the_caller_and_the_answer_streams_back() {
    let lab = Lab::new();
    let all = Partners::start(&lab, |home| home.forwards("mesh")).await;
    let result = all.caller.call(&all.tool(), json!({})).await.unwrap();
    let origin = &result["_meta"]["dev.peerage/origin"];
    let (name, gate) = (all.name().to_string(), all.gate.peer_id().to_base58());
    assert_eq!(
        *origin,
        json!({ "name": name, "via": gate, "server": "quotes" })
    );
    assert_eq!(all.calls.load(SeqCst), 1);
    // Who brings the call is not who calls.
    let refused = all.gate.call(&all.tool(), json!({})).await.unwrap_err();
    assert_eq!(refused.code, "not_on_the_list");
    let direct = all.caller.book().get(&all.bob.peer_id());
    assert!(
        direct.is_none_or(|record| record.link.is_none()),
        "it is not called directly"
    );

    let api = LocalApi::of(&all.caller);
    let tasks = Tasks::new();
    let request = ShareRequest {
        name: "echo".to_owned(),
        url: Some(echo(&tasks).await),
        ..ShareRequest::default()
    };
    let spec = ShareSpec::try_from(request).unwrap();
    all.bob.context().shares.add(spec).unwrap();
    let at = path(&all.name(), "mcp/echo");
    let events = api.get(&at).await;
    assert_eq!(events.body, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    let did = |node: &Node| Did::from_peer_id(&node.peer_id()).unwrap();
    let origin = format!(
        "{}; name=\"{}\"; via=\"{}\"",
        did(&all.bob),
        all.name(),
        did(&all.gate)
    );
    assert_eq!(events.headers["peerage-origin"], origin.as_str());
    let mut stream = upgraded(&api, api.request(Method::GET, &at)).await;
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");

    // What cannot be signed as a whole is refused here, and what means one peer says where it is.
    let large = post(&api, &at, None, &"x".repeat(9 << 20)).await;
    assert_eq!(
        (large.status, large.problem().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too_large_to_forward")
    );
    let card = names::best(all.caller.context(), all.name().as_str()).await;
    assert_eq!(card.unwrap_err().code, "behind_gateway");
    tasks.stop().await;
    all.stop().await;
}

#[tokio::test]
async fn whom_the_last_node_has_blocked_does_not_come_in_by_a_gateway() {
    let lab = Lab::new();
    let all = Partners::start(&lab, |home| home.forwards("mesh")).await;
    let blocked = json!({ "what": all.caller.peer_id().to_base58() }).to_string();
    let bobs = LocalApi::of(&all.bob);
    let blocked = bobs.json(Method::POST, "/api/v1/blocked", &blocked).await;
    assert!(blocked.status.is_success(), "{blocked:?}");
    let refused = all.caller.call(&all.tool(), json!({})).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (403, "not_admitted")
    );
    assert_eq!(all.calls.load(SeqCst), 0);
    all.stop().await;
}

#[tokio::test]
async fn nobody_forwards_by_default_and_a_gateway_only_for_whom_it_says() {
    for (allow, code) in [("", "not_forwarded"), ("staff/bea", "not_on_the_list")] {
        let lab = Lab::new();
        let all = Partners::start(&lab, |home| match allow {
            "" => Vec::new(),
            name => home.forwards(home.name(name).as_str()),
        })
        .await;
        let refused = all.caller.call(&all.tool(), json!({})).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (403, code),
            "{refused}"
        );
        assert_eq!(all.calls.load(SeqCst), 0);
        all.stop().await;
    }
}

/// A call as a gateway brings it, signed by `by` at a time.
fn brought(
    by: &Node,
    key: &Identity,
    name: &Address,
    body: &'static str,
    at: u64,
) -> Request<Body> {
    let chains = by.context().members.chains();
    let grants: Vec<String> = chains.iter().map(ToString::to_string).collect();
    let digest = forwarded::digest(body.as_bytes());
    let message = Message {
        method: "POST",
        name,
        path: "mcp/quotes",
        digest: &digest,
        grants: grants.iter().map(String::as_str).collect(),
    };
    let signature = forwarded::sign(key, &message, at, rand::random());
    let path = name.as_str().trim_start_matches("o://");
    let mut request = Request::post(format!("/api/v1/forward/{path}/-/mcp/quotes"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("content-digest", digest)
        .header("signature-input", signature.input)
        .header("signature", signature.value);
    for grant in grants {
        request = request.header("peerage-grant", grant);
    }
    request.body(Body::from(body)).unwrap()
}

/// The same request again, head and body.
fn copy(parts: &http::request::Parts, body: &'static str) -> Request<Body> {
    Request::from_parts(parts.clone(), Body::from(body))
}

#[tokio::test]
async fn what_is_replayed_altered_expired_foreign_or_unsigned_is_refused() {
    let lab = Lab::new();
    let all = Partners::start(&lab, |home| home.forwards("mesh")).await;
    let (ann, bob) = (&all.caller, all.bob.peer_id());
    let key = ann.context().identity.clone();
    let reached = names::best(all.gate.context(), all.name().as_str()).await;
    assert_eq!(reached.unwrap(), bob);
    let body: &'static str = Box::leak(call("touch").into_boxed_str());
    let now = unix_now();
    let refused =
        async |request: Request<Body>| -> Problem { problem(ask(&all.gate, bob, request).await) };
    let good = brought(ann, &key, &all.name(), body, now);
    let (parts, _) = good.into_parts();
    let mut altered = parts.clone();
    altered.method = Method::PUT;
    let mut elsewhere = parts.clone();
    elsewhere.uri = format!("{}?x=1", parts.uri).parse().unwrap();
    let mut fewer = parts.clone();
    fewer.headers.remove("peerage-grant");
    let mut unsigned = parts.clone();
    unsigned.headers.remove("signature");
    let mut twice = parts.clone();
    twice
        .headers
        .append("signature", "origin=:AA==:".parse().unwrap());
    for head in [altered, elsewhere, fewer, unsigned, twice] {
        let told = refused(copy(&head, body)).await;
        assert_eq!(
            (told.status, told.code.as_str()),
            (401, "bad_signature"),
            "{told}"
        );
    }
    let told = refused(copy(&parts, "{}")).await;
    assert_eq!(told.code, "bad_signature", "another body");
    for at in [now - LIFE, now + 600] {
        let told = refused(brought(ann, &key, &all.name(), body, at)).await;
        assert_eq!(told.code, "bad_signature", "{at}");
    }
    // Meant for somebody else, whose name Bob does not bear.
    let eve = all.home.name("partners/eve");
    let told = refused(brought(ann, &key, &eve, body, now)).await;
    assert_eq!((told.status, told.code.as_str()), (403, "not_forwarded"));
    // Signed by a key that shows the grants of another.
    let stranger = Identity::from_secret([77; 32]);
    let told = refused(brought(ann, &stranger, &all.name(), body, now)).await;
    assert_eq!((told.status, told.code.as_str()), (403, "not_a_member"));
    assert!(
        all.bob.book().get(&stranger.peer_id()).is_none(),
        "it leaves no trace"
    );
    assert_eq!(all.calls.load(SeqCst), 0, "nothing of this was executed");

    let (status, answered) = ask(&all.gate, bob, copy(&parts, body)).await;
    let shown = String::from_utf8_lossy(&answered);
    assert!(
        !matches!(status.as_u16(), 401 | 403 | 409),
        "{status} {shown}"
    );
    let told = refused(copy(&parts, body)).await;
    assert_eq!((told.status, told.code.as_str()), (409, "replayed"));
    all.stop().await;
}

#[tokio::test]
async fn gateways_that_name_each_other_end_the_call() {
    let lab = Lab::new();
    let home = Home::start(&lab).await;
    let between = |other: &str| Gateways {
        via: home.via(other),
        forwards: home.forwards("mesh"),
    };
    let one = home.member(&lab, "one", between("two")).await;
    let two = home.member(&lab, "two", between("one")).await;
    let via = Gateways {
        via: home.via("one"),
        forwards: Vec::new(),
    };
    let caller = home.member(&lab, "ann", via).await;
    let name = home.name("partners/bob");
    let tool = format!("{name}/quotes/touch");
    let refused = caller.call(&tool, json!({})).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (508, "forwarding_loop")
    );
    stop([home.root, one, two, caller]).await;
}
