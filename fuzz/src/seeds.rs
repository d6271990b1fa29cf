//! Where fuzzing begins: a few good and nearly good inputs for each target, the same every time.

use data_encoding::HEXLOWER;
use peerage_core::{
    Identity,
    card::{Card, CardContent, SharedServer},
    forwarded::{self, Message},
    grant::{Chain, Claims, Rights},
    invite::Invite,
    lookup::{Answer, Bearer},
    problem::Problem,
};
use serde_json::{Map, Value, json};

/// The time of all targets, in unix seconds.
pub const NOW: u64 = 1_795_000_000;

#[allow(dead_code, reason = "each constant is a packet; not all are needed")]
#[path = "../../crates/peerage-mesh/src/discovery/mdns/message/tests/captured.rs"]
mod captured;

/// The key that signs what the targets read.
#[must_use]
pub fn root() -> Identity {
    Identity::from_secret([7; 32])
}

/// The seeds of a target; none for a name that is no target.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "address" => texts([
            "o://acme",
            "o://acme/sales/assistant",
            "o://a1/b-2",
            "O://Acme/",
            "../billing",
            "./bot/notes",
        ]),
        "card" => vec![
            card(),
            br#"{"room":"12","gpu":{"gb":24.5},"n":[1,"",null]}"#.to_vec(),
        ],
        "did" => vec![root().did().to_string().into_bytes()],
        "forward" => vec![forwarded()],
        "grant" => grants(),
        "headers" => texts([
            "Content-Type: application/json; charset=utf-8\nAccept: text/event-stream;q=0.5, application/*\nMCP-Protocol-Version: 2026-07-28\nMcp-Method: tools/call\nMcp-Name: =?base64?ZcOp?=\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"e\u{e9}\",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}}}",
            "Mcp-Session-Id: a\nMCP-Protocol-Version: 2025-11-25\nLast-Event-ID: 7\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"t\",\"inputSchema\":{\"properties\":{\"deep\":{\"properties\":{\"n\":{\"type\":\"integer\",\"x-mcp-header\":\"N\"}}}}}}]}}",
        ]),
        "http" => texts([
            "POST /mcp/x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
        ]),
        "invite" => vec![
            invite([]),
            invite(["/ip4/192.0.2.1/tcp/7338", "/ip6/::1/udp/1/quic-v1"]),
        ],
        "lines" => texts([
            "\u{2}one\r\n\ntwo words\nlast",
            "\u{ff}{\"jsonrpc\":\"2.0\"}\n",
        ]),
        "mcp" | "rpc" => texts([
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":{"progressToken":"t"}}}"#,
            r#"{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"\u00e9"}]}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
            "{\"jsonrpc\":\"2.0\",\r\n\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1e3}}",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        ]),
        "mdns" => [
            captured::JS,
            captured::PYTHON,
            captured::PYTHON_ANNOUNCEMENT,
            captured::PYTHON_GOODBYE,
            captured::RUST,
        ]
        .iter()
        .map(|hex| {
            HEXLOWER
                .decode(hex.as_bytes())
                .expect("packets are written as hex")
        })
        .collect(),
        "names" => vec![answer(), br#"{"bearers":[]}"#.to_vec()],
        "gate" => texts([
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"name":"b"}}}"#,
            r#"{"m\u0065thod":"tools/list","params":null}"#,
            r#"{ "result": {"tools":[ {"name":"ab"}, {"name":"c","n":1.0} ],"x":1},"id":1}"#,
            "id: 1\ndata: {\"result\":{\"tools\":[{\"name\":\"a\"},\ndata: {\"name\":\"bb\"}]}}\r\n\r\n: c\n\n",
        ]),
        "policy" => texts([
            "[groups]\nstaff = [\"o://acme/**\", \"@more\"]\nmore = [\"10.0.0.0/8\"]\n\n[[rule]]\nname = \"one\"\nwho = [\"@staff\"]\ncan = [\"see\", \"call\"]\non = [\"mcp/crm/se*\"]\nthen = \"allow\"\nlimit = { rate = \"20/s\", burst = 2, at_once = 4, daily = 9 }\n",
            "[[rule]]\nname = 'all'\nwho = ['strangers']\ncan = ['*']\nthen = 'refuse'\n[[rule]]\nname = 'x'\nwho = ['mesh:acme', 'members']\ncan = ['connect']\nthen = 'allow'",
            "[groups]\na = ['@b']\nb = ['@a']\n[[rule]]\nname = 'c'\nwho = ['@a']\ncan = ['dial']\nthen = 'allow'",
        ]),
        "problem" => vec![
            Problem::new(403, "not_a_member", "no")
                .hint("peerage invite")
                .to_json(),
            br#"{"status":404,"type":"https://example.org/x","extra":[1]}"#.to_vec(),
        ],
        "secrets" => texts([
            "{\"text\":\"A=1\\nghp_q7ZtW2mXc9LrB4nKvP8sYd3HfJ6gTa1Q5wEeRxU0\\n\"}",
            "export API_KEY=\"Xk29fLqPz81mWv\" task-a1b2c3d4 sk-ant-q7ZtW2mXc9LrB4nKvP8s",
            "-----BEGIN PRIVATE KEY-----\\nq7ZtW2mXc9LrB4nKvP8sYd3HfJ6gTa1Q5wEeRxU0\\n-----END PRIVATE KEY-----\\n\\\\",
        ]),
        "sse" => texts([
            ": comment\r\nid: 1\nevent: message\ndata: {\"a\":\ndata: 1}\n\nretry: 10\rdata\r\r",
            "data:x\n\ndata: y\n\n\u{feff}data: z",
        ]),
        _ => Vec::new(),
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Vec<u8>> {
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn card() -> Vec<u8> {
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let content = CardContent {
        name: "workstation".to_owned(),
        version: "1".to_owned(),
        addresses: vec!["/ip4/192.0.2.1/tcp/7338".parse().expect("a multiaddr")],
        servers: vec![SharedServer {
            name: "toolbox".to_owned(),
            description: String::new(),
            tools: vec![
                tool.as_object()
                    .cloned()
                    .unwrap_or_else(Map::<String, Value>::new),
            ],
        }],
        ..CardContent::default()
    };
    let card = Card::issue(&root(), content, NOW, NOW + 3600).expect("the card is sound");
    card.bytes().to_vec()
}

/// The headers of a call that is forwarded: signature, its input, the digest, and grants.
fn forwarded() -> Vec<u8> {
    let digest = forwarded::digest(b"body");
    let message = Message {
        method: "POST",
        name: &"o://acme/partners/bob".parse().expect("an address"),
        path: "mcp/quotes",
        digest: &digest,
        grants: vec!["a.b.c"],
    };
    let signature = forwarded::sign(&root(), &message, NOW, [1; 16]);
    format!("{}\n{}\n{digest}\na.b.c", signature.value, signature.input).into_bytes()
}

fn answer() -> Vec<u8> {
    let chain = String::from_utf8(grants().swap_remove(1)).expect("a chain is text");
    let bearer = Bearer {
        chain: chain.parse().expect("a chain"),
        addresses: vec!["/ip4/192.0.2.1/tcp/7338".parse().expect("a multiaddr")],
    };
    let bearers = vec![bearer];
    Answer { bearers }.encode()
}

fn grants() -> Vec<Vec<u8>> {
    let holder = Identity::from_secret([8; 32]);
    let claims = |sub: &Identity, path: &str, depth| Claims {
        sub: sub.did(),
        path: path.parse().expect("an address"),
        rights: Rights::all(),
        nbf: NOW,
        exp: NOW + 3600,
        depth,
    };
    let one = Chain::issue_root(&root(), claims(&holder, "o://acme/sales", 1));
    let one = one.expect("the claims are sound");
    let leaf = claims(&Identity::from_secret([9; 32]), "o://acme/sales/bot", 0);
    let two = one.delegate(&holder, leaf).expect("the claims are sound");
    let payload = json!({
        "iss": root().did(), "sub": holder.did(), "path": "o://acme/sales", "rights": ["be", "call"], "jti": "AAAAAAAAAAAAAAAAAAAAAA",
        "nbf": NOW, "exp": NOW + 3600, "depth": 1,
    });
    vec![
        one.to_string().into_bytes(),
        two.to_string().into_bytes(),
        payload.to_string().into_bytes(),
    ]
}

fn invite<const N: usize>(addresses: [&str; N]) -> Vec<u8> {
    let addresses = addresses.map(|address| address.parse().expect("a multiaddr"));
    let invite = Invite::new(&root().peer_id(), addresses, NOW + 900);
    invite.expect("the key is Ed25519").encode().into_bytes()
}
