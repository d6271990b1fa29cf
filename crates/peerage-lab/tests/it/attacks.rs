//! A hostile node tries what works in other agent networks: to stop nodes, to register, rebind and remove, to run any tool, to
//! forge, replay, relay, widen, and to be taken for another by name. It gets nothing, and the audit says what it tried.

use std::sync::atomic::Ordering::SeqCst;

use axum::body::Body;
use http::{HeaderValue, Method, Request, StatusCode};
use peerage::{Node, PeerId};
use peerage_core::{
    address::Address,
    did::Did,
    grant::{Chain, Claims, Rights},
    peer_book::Relation,
    score::Effect,
};
use peerage_lab::{Lab, LocalApi, introduced, related, until_true};
use peerage_services::{api::AuditEntry, card::GRANT_HEADER, members::unix_now};
use serde_json::json;

use super::{
    asked::{ask, post, tool_call},
    audit::{audit, written},
    strangers::{ready, share},
};

/// A node, a member of its mesh, and one that is neither and calls itself as the member does.
struct Scene {
    lab: Lab,
    victim: Node,
    member: Node,
    evil: Node,
}

impl Scene {
    async fn new() -> Self {
        let lab = Lab::new();
        let place = lab.place_at("home", "victim");
        let victim = place.start().await;
        let member = lab.place_at("home", "member").knowing(&place).start().await;
        let evil = lab.place_at("evil", "member").knowing(&place).start().await;
        introduced(&[&victim, &member]).await;
        introduced(&[&victim, &evil]).await;
        related(&victim, member.peer_id(), Relation::Member).await;
        Self {
            lab,
            victim,
            member,
            evil,
        }
    }

    /// Sends a request as it is to the victim, which must refuse it.
    async fn refused(&self, method: Method, path: &str, body: &str) {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let (status, body) = ask(&self.evil, self.victim.peer_id(), request).await;
        let text = String::from_utf8_lossy(&body);
        assert!(status.is_client_error(), "{method} {path}: {status} {text}");
        assert!(!text.contains("/home") && !text.contains(".rs:"), "{text}");
    }

    /// Shows a grant to the victim.
    async fn shows(&self, chain: &Chain) {
        let chain = HeaderValue::try_from(chain.to_string()).unwrap();
        let request = Request::get("/.well-known/agent-card.json")
            .header(GRANT_HEADER, chain)
            .body(Body::empty())
            .unwrap();
        let (status, _) = ask(&self.evil, self.victim.peer_id(), request).await;
        assert_eq!(status, StatusCode::OK, "the public card");
        let relation = self.victim.context().members.relation(&self.evil.peer_id());
        assert_eq!(relation, Relation::Stranger);
    }
}

fn claims(subject: PeerId, path: &str, rights: Rights) -> Claims {
    Claims {
        sub: Did::from_peer_id(&subject).unwrap(),
        path: path.parse::<Address>().unwrap(),
        rights,
        nbf: unix_now() - 10,
        exp: unix_now() + 600,
        depth: 1,
    }
}

impl Scene {
    /// Stop, register, rebind, remove, run any tool, relay. Returns how many tries that were.
    async fn orders(&self) -> u64 {
        let me = self.evil.peer_id();
        let share_it = json!({ "name": "files", "url": "http://192.0.2.1/mcp" }).to_string();
        let grant = json!({ "name": "o://x", "to": me.to_base58() }).to_string();
        let trust = format!("/api/v1/trust/{me}");
        let relayed = format!("/peers/{}/mcp/files", self.member.peer_id());
        let touch = tool_call("touch");
        let tries = [
            (Method::POST, "/api/v1/stop", ""),
            (Method::POST, "/api/v1/shares", &share_it),
            (Method::DELETE, "/api/v1/shares/files", ""),
            (Method::PUT, &trust, ""),
            (Method::POST, "/api/v1/invites", "{}"),
            (Method::POST, "/api/v1/grants", &grant),
            (Method::DELETE, "/api/v1/peers/member/score", ""),
            (Method::POST, "/api/v1/tools/call", "{}"),
            (Method::POST, "/mcp", &touch),
            (Method::POST, "/mcp/files", &touch),
            (Method::POST, "/mcp/files/../files", &touch),
            (Method::POST, &relayed, &touch),
            (Method::POST, "http://member/mcp/files", &touch),
        ];
        let count = tries.len() as u64;
        for (method, path, body) in tries {
            self.refused(method, path, body).await;
        }
        count
    }

    /// A secret that nobody gave out; one that another key has used.
    async fn invitations(&self, friend: &Node) {
        let secret = json!({ "secret": "00".repeat(16), "name": "evil" }).to_string();
        self.refused(Method::POST, "/api/v1/members", &secret).await;
        let code = self.victim.invite(60).unwrap();
        friend.join(&code).await.unwrap();
        assert_eq!(self.evil.join(&code).await.unwrap_err().code, "invite_used");
    }

    /// The member's own card, replayed. A grant of the hostile node's own root for the victim's name; the member's, replayed; the
    /// friend's, widened.
    async fn proofs(&self, friend: &Node) {
        let card = LocalApi::of(&self.member).get("/api/v1/card").await.body;
        let replayed = post(
            &self.evil,
            self.victim.peer_id(),
            "/api/v1/cards",
            card.to_vec(),
        );
        assert_eq!(replayed.await.0, 422);

        let (me, own) = (self.evil.peer_id(), &self.evil.context().identity);
        let name = format!("{}/admin", self.victim.status().mesh.name);
        let all = || claims(me, &name, Rights::all());
        self.shows(&Chain::issue_root(own, all()).unwrap()).await;
        self.shows(&self.member.context().members.chains()[0]).await;
        let root = self.victim.context().members.own_mesh().unwrap().1;
        let given = friend.context().members.chains();
        let given = given.iter().find(|chain| chain.root() == Ok(root)).unwrap();
        let widened = given.delegate(&friend.context().identity, all());
        assert!(widened.is_err(), "not even its holder can make one");
    }

    async fn all_is_seen(&self, tries: u64) {
        let told = audit(&self.victim, &format!("who={}", self.evil.peer_id())).await;
        for (action, rule) in [
            ("call", "not_a_member"),
            ("call", "unknown_invite"),
            ("call", "invite_used"),
            ("card", "bad_card"),
            ("show", "same_mesh_name"),
            ("show", "bad_grant"),
        ] {
            let is_it =
                |line: &AuditEntry| line.action == action && line.rule.as_deref() == Some(rule);
            assert!(told.iter().any(is_it), "{action} {rule}: {told:#?}");
        }
        let refused: u64 = told.iter().map(|line| line.count.unwrap_or(1)).sum();
        assert!(refused >= tries + 5, "{told:#?}");
        assert!(!written(&self.lab, "home", "victim").contains(&"00".repeat(16)));
    }

    /// Whoever goes on with forgeries is shut out.
    async fn shut_out(&self) {
        let me = self.evil.peer_id();
        let effect = || {
            let record = self.victim.book().get(&me).unwrap();
            record.score.effect(peerage_mesh::book::now())
        };
        let chain = self.member.context().members.chains()[0].clone();
        for _ in 0..4 {
            if effect() != Effect::Refused {
                self.shows(&chain).await;
            }
        }
        assert_eq!(effect(), Effect::Refused);
        let budget = self.victim.context().mesh.budget();
        until_true("it is shut out", || budget.usage().shut_out.contains(&me)).await;
    }
}

#[tokio::test]
async fn a_hostile_node_gets_nothing_and_is_seen() {
    let scene = Scene::new().await;
    let (victim, member) = (&scene.victim, &scene.member);
    let touched = share(victim, "files", "mesh");
    ready(victim, "files").await;
    let before = LocalApi::of(victim).get("/api/v1/shares").await.json();
    let friend = scene.lab.place("friend").start().await;

    let tries = scene.orders().await;
    scene.invitations(&friend).await;
    scene.proofs(&friend).await;

    // By its name it is not taken for the member, and nothing has come of the rest.
    let resolved = peerage_services::names::known(victim.context(), "member").unwrap();
    assert_eq!(resolved, member.peer_id());
    assert_eq!(touched.load(SeqCst), 0);
    let after = LocalApi::of(victim).get("/api/v1/shares").await.json();
    assert_eq!(after, before);
    let given = victim.context().members.given().unwrap().len();
    assert_eq!(given, 1, "the friend's");
    member.call("victim/files/touch", json!({})).await.unwrap();
    scene.all_is_seen(tries).await;
    scene.shut_out().await;
    member.call("victim/files/touch", json!({})).await.unwrap();
    for node in [scene.victim, scene.member, scene.evil, friend] {
        node.stop().await;
    }
}
