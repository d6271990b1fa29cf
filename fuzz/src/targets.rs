//! One function for each decoder: it must neither panic nor hang, and what it takes must hold together.

use std::str::from_utf8;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use peerage_core::{
    address::Address,
    card::{Card, CardContent},
    did::Did,
    forwarded::{self, Message, Signature},
    grant::Chain,
    invite::{Invite, InviteSecret},
    lookup::{Answer, MAX_ADDRESSES, MAX_HINTS},
    policy::{
        Caller,
        rules::{Action, Document, Rules, Step},
    },
    problem::Problem,
    secrets,
};

use bytes::Bytes;
use futures::{FutureExt as _, TryStreamExt as _};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use sse_stream::SseStream;

use crate::{
    http,
    included::{self, Packet, end_of_event, event_without, meant, without},
    seeds::{NOW, root},
    stdio,
};

/// The header of every link of a grant: `{"alg":"EdDSA","typ":"o-grant+jwt"}`.
const GRANT_HEADER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6Im8tZ3JhbnQrand0In0";

/// A target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 18] = [
    ("address", address),
    ("card", card),
    ("did", did),
    ("forward", forward),
    ("gate", gate),
    ("grant", grant),
    ("headers", headers),
    ("http", http),
    ("invite", invite),
    ("lines", lines),
    ("mcp", mcp),
    ("mdns", mdns),
    ("names", names),
    ("policy", policy),
    ("problem", problem),
    ("rpc", rpc),
    ("secrets", secrets),
    ("sse", sse),
];

/// A name that a peer shows is the same after it was written and read.
pub fn address(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    // From any text at all a segment is made.
    Address::top(&Address::segment_from(text)).expect("what segment_from makes is a segment");
    // Relative to a name, it is the same name however it is read.
    let home: Address = "o://home/desk".parse().expect("an address");
    if let Ok(meant) = home.resolve(text) {
        assert_eq!(home.resolve(meant.as_str()).as_ref(), Ok(&meant));
    }
    let Ok(address) = text.parse::<Address>() else {
        return;
    };
    assert_eq!(home.resolve(text).as_ref(), Ok(&address));
    assert_eq!(address.to_string().parse().as_ref(), Ok(&address));
    assert!(address.covers(&address));
    if let Some(parent) = address.parent() {
        assert!(parent.covers(&address) && !address.covers(&parent));
        assert_eq!(parent.child(address.last()).as_ref(), Ok(&address));
    }
}

/// A card is refused, or kept as the bytes that came; what a node signs, others take.
pub fn card(bytes: &[u8]) {
    if let Ok(card) = Card::verify(bytes, &root().peer_id(), NOW) {
        assert_eq!(card.bytes(), bytes);
        assert_eq!(card.peer_id(), root().peer_id());
    }
    let Ok(metadata) = serde_json::from_slice(bytes) else {
        return;
    };
    let content = CardContent {
        name: "fuzz".to_owned(),
        version: "1".to_owned(),
        metadata,
        ..CardContent::default()
    };
    if let Ok(card) = Card::issue(&root(), content, NOW, NOW + 1) {
        Card::verify(card.bytes(), &root().peer_id(), NOW).expect("what was issued verifies");
    }
}

/// Headers of a forwarded call, a line each: signature, its input, the digest. Only what the root signed counts.
pub fn forward(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let [value, input, digest] = [(); 3].map(|()| lines.next().unwrap_or_default().to_owned());
    // A header that is the digest of one body is not that of another.
    let of = |body: &[u8]| forwarded::check_digest(&digest, body).is_ok();
    assert!(!(of(b"body") && of(b"another")));
    let name: Address = "o://acme/partners/bob".parse().expect("an address");
    let message = Message {
        method: "POST",
        name: &name,
        path: "mcp/quotes",
        digest: &digest,
        grants: lines.collect(),
    };
    if let Ok(signed) = forwarded::verify(&message, &Signature { input, value }, NOW) {
        assert!(signed.by == root().did() && signed.expires > NOW);
    }
}

/// What a peer answers that was asked for a name is bounded, and the same after it was written and read.
pub fn names(bytes: &[u8]) {
    let Ok(answer) = Answer::decode(bytes) else {
        return;
    };
    assert!(answer.bearers.len() <= MAX_HINTS);
    let mut addresses = answer.bearers.iter().map(|bearer| bearer.addresses.len());
    assert!(addresses.all(|count| count <= MAX_ADDRESSES));
    let again = Answer::decode(&answer.encode()).expect("what was written can be read");
    assert_eq!(again, answer);
}

/// A chain is the same after it was written and read; only one that the root signed verifies, so the
/// bytes are tried as the payload of a signed link too.
pub fn grant(bytes: &[u8]) {
    if let Ok(text) = from_utf8(bytes) {
        verify(text);
    }
    let input = format!("{GRANT_HEADER}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(root().sign(input.as_bytes()));
    verify(&format!("{input}.{signature}"));
}

fn verify(text: &str) {
    let Ok(chain) = text.parse::<Chain>() else {
        return;
    };
    assert_eq!(chain.to_string(), text);
    if let Ok(grant) = chain.verify(&root().did(), NOW) {
        assert_eq!(grant.root, root().did());
        assert!(grant.is_valid_at(NOW) || grant.is_early_at(NOW));
    }
}

/// An invite is the same after it was written and read.
pub fn invite(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    drop(text.parse::<InviteSecret>());
    let Ok(invite) = Invite::decode(text) else {
        return;
    };
    let again = Invite::decode(&invite.encode()).expect("what was encoded decodes");
    assert_eq!(again.encode(), invite.encode());
    assert_eq!(again.addresses(), invite.addresses());
}

/// A JSON-RPC message is one line, reads the same again, and keeps its form when its id is replaced.
pub fn mcp(bytes: &[u8]) {
    stdio::check_message(bytes);
}

/// A packet tells of a bounded number of peers.
pub fn mdns(bytes: &[u8]) {
    if let Ok(Packet::Response(peers)) = included::decode(bytes) {
        assert!(peers.len() <= 16);
    }
}

/// What is found in pieces is what is found in the whole, and nothing of it is left when it is written over.
pub fn secrets(bytes: &[u8]) {
    let whole = secrets::find(bytes);
    let (mut pieces, mut start) = (Vec::new(), 0_usize);
    let cuts = (0..bytes.len())
        .step_by(1 + bytes.len() / 7)
        .chain([bytes.len()]);
    for cut in cuts.filter(|cut| *cut > 0) {
        let before = &bytes[start.saturating_sub(secrets::CONTEXT)..start];
        let searched = secrets::search(before, &bytes[start..cut], cut == bytes.len());
        pieces.extend(
            searched
                .found
                .iter()
                .map(|found| (found.kind, found.at + start, found.len)),
        );
        start += searched.decided;
    }
    let whole_places: Vec<_> = whole
        .iter()
        .map(|found| (found.kind, found.at, found.len))
        .collect();
    assert_eq!(pieces, whole_places);
    for found in &whole {
        let _ = secrets::pointer(bytes, found.at);
    }
    let mut over = bytes.to_vec();
    secrets::redact(&mut over, &whole);
    assert_eq!(over.len(), bytes.len());
}

/// A problem is the same after it was written and read.
pub fn problem(bytes: &[u8]) {
    let Some(problem) = Problem::from_json(bytes) else {
        return;
    };
    let json = problem.to_json();
    if json.len() <= Problem::MAX_BYTES {
        assert_eq!(Problem::from_json(&json).as_ref(), Some(&problem));
    }
}

/// A DID is the same after it was written and read.
pub fn did(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let Ok(did) = text.parse::<Did>() else {
        return;
    };
    assert_eq!(did.to_string().parse().as_ref(), Ok(&did));
    let again = Did::from_peer_id(&did.peer_id());
    assert_eq!(again.as_ref().ok(), Some(&did));
}

/// What the headers of an MCP request say, and whether they agree with its body: lines, an empty one, and
/// the body.
pub fn headers(bytes: &[u8]) {
    stdio::check_headers(bytes);
}

/// Heads and bodies of calls, from either end, end with the bytes.
pub fn http(bytes: &[u8]) {
    http::requests(bytes);
    http::answer(bytes);
}

/// Lines of a child are those that it wrote, however they come, and none is longer than the limit.
pub fn lines(bytes: &[u8]) {
    stdio::check_lines(bytes);
}

/// MCP messages that are taken can be written again.
pub fn rpc(bytes: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<ServerJsonRpcMessage>(bytes) {
        serde_json::to_vec(&message).expect("what was read can be written");
    }
    if let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(bytes) {
        serde_json::to_vec(&message).expect("what was read can be written");
    }
}

/// A stream of events is the same in whatever pieces it comes; of one that is malformed, how much comes
/// before the error may differ.
pub fn sse(bytes: &[u8]) {
    let size = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    let whole = events(bytes, bytes.len().max(1));
    let pieces = events(bytes, size);
    if let (Some(whole), Some(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces);
    }
}

/// The events of a stream; none when it is malformed.
fn events(bytes: &[u8], size: usize) -> Option<Vec<String>> {
    let pieces = bytes.chunks(size).map(Bytes::copy_from_slice);
    let pieces: Vec<Result<Bytes, std::convert::Infallible>> = pieces.map(Ok).collect();
    let stream = SseStream::from_bytes_stream(futures::stream::iter(pieces));
    let told: futures::stream::TryCollect<_, Vec<_>> =
        stream.map_ok(|event| format!("{event:?}")).try_collect();
    told.now_or_never().expect("the pieces are there").ok()
}

/// Rules are refused with a reason, or mean the same after they were written as JSON and read; what decides is what the
/// explanation says.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = from_utf8(bytes) else { return };
    let document: Document = match text.parse() {
        Ok(document) => document,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let json = serde_json::to_value(&document.text).expect("rules are JSON");
    let again = serde_json::from_value(json).expect("what was written is read");
    assert_eq!(document.text, again);
    let again = Rules::new(&again).expect("rules that were taken");
    assert_eq!(document.rules.rules().len(), again.rules().len());
    let callers = [
        Caller::stranger(root().peer_id()),
        Caller::supposed(&root(), ["o://acme/sales/bot".parse().expect("a name")]),
    ];
    for caller in callers {
        let fits = document.rules.fits(&caller, "10.1.2.3".parse().ok(), NOW);
        for (action, object) in [
            (Action::Call, "mcp/crm/search"),
            (Action::See, "mcp/crm"),
            (Action::Connect, ""),
        ] {
            let decided = document.rules.decide(&fits, action, object);
            let steps = document.rules.explain(&fits, action, object);
            let by = steps.iter().find(|(_, step)| *step == Step::Decided);
            assert_eq!(decided, by.map(|(rule, _)| *rule));
            let same = again.decide(&fits, action, object);
            assert_eq!(decided.map(|rule| &rule.name), same.map(|rule| &rule.name));
            if !document.rules.depends_below(&fits, action, object) {
                let below = document.rules.decide(&fits, action, &format!("{object}/x"));
                assert!(object.is_empty() || decided == below);
            }
        }
    }
}

/// What the gate reads of a message, and what it cuts out of lists: what is left is JSON without what was cut.
pub fn gate(bytes: &[u8]) {
    if meant(bytes).is_ok() {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok());
    }
    let shown = |tool: &str| tool.len() % 2 == 0;
    if let Some(cut) = without(bytes, shown) {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&cut).is_ok());
        assert!(without(&cut, shown).is_none());
    }
    if let Some(end) = end_of_event(bytes, 0) {
        let event = &bytes[..end];
        if let Some(cut) = event_without(event, |data| without(data, shown)) {
            assert!(event_without(&cut, |data| without(data, shown)).is_none());
        }
    }
}
