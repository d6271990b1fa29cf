//! The policy: shown, replaced, and asked without anything happening.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State};
use peerage_core::{
    Identity,
    address::Address,
    policy::{
        self, Audience, Caller,
        rules::{Action, Document, Effect, Rule, Step},
    },
    problem::Problem,
};

use peerage_mesh::Origin;

use super::{Local, view};
use crate::{
    api::{PolicyAnswer, PolicyQuestion, PolicyRequest, PolicyStep, PolicyView},
    context::Context,
    failure::{Answer, Asked as Body},
    mcp::MCP_PREFIX,
    members::unix_now,
    names,
    policy::{Asked, InForce, Subject, refused},
};

/// The rules in force, and where they are read from.
#[utoipa::path(get, path = "/api/v1/policy", responses((status = 200, body = PolicyView)))]
pub(super) async fn show(State(local): State<Local>) -> Json<PolicyView> {
    Json(shown(&local.ctx))
}

/// Replaces all rules, in force and in the file, or nothing if something is wrong with them.
#[utoipa::path(put, path = "/api/v1/policy", request_body = PolicyRequest,
    responses((status = 200, body = PolicyView)))]
pub(super) async fn set(
    State(local): State<Local>,
    Body(request): Body<PolicyRequest>,
) -> Answer<Json<PolicyView>> {
    let policy = &local.ctx.policy;
    policy.set(&request.text)?;
    let path = policy.file().path.display().to_string();
    local.ctx.audit.changed(Origin::Local, "policy", path);
    Ok(Json(shown(&local.ctx)))
}

/// What the policy says to somebody who wants something. Nothing happens.
#[utoipa::path(post, path = "/api/v1/policy/test", request_body = PolicyQuestion,
    responses((status = 200, body = PolicyAnswer)))]
pub(super) async fn test(
    State(local): State<Local>,
    Body(question): Body<PolicyQuestion>,
) -> Answer<Json<PolicyAnswer>> {
    Ok(Json(answer(&local.ctx, &question)?))
}

fn shown(ctx: &Context) -> PolicyView {
    let in_force = ctx.policy.in_force();
    let InForce { document, .. } = &*in_force;
    let never = |(hidden, before): (&Rule, &Rule)| {
        format!(
            "the rule `{}` never decides, for `{}` before it always does",
            hidden.name, before.name
        )
    };
    PolicyView {
        path: ctx.policy.file().path.display().to_string(),
        since: (in_force.since > 0).then(|| view::rfc3339(in_force.since)),
        version: in_force.version,
        rules: document.rules.rules().len(),
        text: in_force.text.clone(),
        policy: serde_json::to_value(&document.text).unwrap_or_default(),
        error: ctx.policy.trouble(),
        notes: document.rules.hidden().into_iter().map(never).collect(),
    }
}

fn answer(ctx: &Context, question: &PolicyQuestion) -> Result<PolicyAnswer, Problem> {
    let bad = |text: String| Problem::new(400, "bad_question", text);
    let action = Action::from_word(&question.action).ok_or_else(|| {
        let words = Action::ALL.map(Action::as_str).join(", ");
        bad(format!(
            "`{}` is not one of {words}",
            question.action.escape_debug()
        ))
    })?;
    let (caller, who) = supposed(ctx, &question.who)?;
    let from = match &question.from {
        Some(from) => Some(
            from.parse::<IpAddr>()
                .map_err(|_| bad(format!("`{}` is no IP address", from.escape_debug())))?,
        ),
        None => ctx.policy.comes_from(&caller.peer),
    };
    let in_force = match &question.text {
        None => ctx.policy.in_force(),
        Some(text) => {
            let document: Document = text
                .parse()
                .map_err(|error| Problem::new(400, "policy_invalid", format!("{error}")))?;
            Arc::new(InForce {
                document,
                ..InForce::default()
            })
        }
    };
    let subject = Subject::new(in_force, &caller, from);
    let object = question.object.trim_start_matches('/');
    let mut answer = match action {
        Action::Call => called(ctx, &subject, &caller, object)?,
        Action::See => seen(&subject, object),
        Action::Resolve => resolved(&subject, &caller, object),
        Action::Connect | Action::Dial => listed(&subject, action, ""),
    };
    answer.who = who;
    answer.asked = format!("{action} {object}").trim_end().to_owned();
    Ok(answer)
}

/// Who is meant, and in words.
fn supposed(ctx: &Context, text: &str) -> Result<(Caller, String), Problem> {
    let nobody = Identity::generate();
    match text {
        "everyone" | "stranger" | "strangers" => {
            return Ok((Caller::stranger(nobody.peer_id()), "a stranger".to_owned()));
        }
        "trusted" => {
            let mut caller = Caller::stranger(nobody.peer_id());
            caller.trusted = true;
            return Ok((caller, "somebody who is trusted".to_owned()));
        }
        "member" | "members" => {
            let mesh = ctx.members.own_mesh().map(|(mesh, _)| mesh);
            let mesh = mesh
                .ok_or_else(|| Problem::new(404, "no_mesh", "this node has no mesh of its own"))?;
            let who = format!("a member of {mesh}");
            return Ok((Caller::supposed(&nobody, [mesh]), who));
        }
        _ => {}
    }
    match (names::known(ctx, text), text.parse::<Address>()) {
        (Ok(peer), _) => {
            let names = ctx.members.names_of(&peer);
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            let called = if names.is_empty() {
                String::new()
            } else {
                format!(", {}", names.join(", "))
            };
            Ok((ctx.members.caller(peer), format!("{peer}{called}")))
        }
        (Err(problem), _) if problem.code == "ambiguous_peer" => Err(problem),
        (Err(_), Ok(name)) if ctx.members.knows_mesh_of(&name) => {
            let who = format!("whoever bears {name}; no peer that is known does");
            Ok((Caller::supposed(&nobody, [name]), who))
        }
        (Err(_), Ok(name)) => {
            let who = format!("a stranger: this node is not in the mesh of {name}");
            Ok((Caller::stranger(nobody.peer_id()), who))
        }
        (Err(problem), Err(_)) => Err(problem),
    }
}

fn called(
    ctx: &Context,
    subject: &Subject,
    caller: &Caller,
    object: &str,
) -> Result<PolicyAnswer, Problem> {
    let path = format!("/{object}");
    let rest = path.strip_prefix(MCP_PREFIX);
    let parts = rest.map(|rest| {
        rest.split_once('/')
            .map_or((rest, None), |(s, t)| (s, Some(t)))
    });
    let asked = match parts {
        Some((server, Some(tool))) => Asked::Tool(server, tool),
        Some((server, None)) => Asked::Session(server),
        None => Asked::Path(object),
    };
    let mut answer = listed(subject, Action::Call, &asked.object());
    if answer.by == "rule" && answer.verdict == "allow" {
        return Ok(answer);
    }
    let mut otherwise = None;
    let verdict = subject.call(asked, || {
        let name = parts.map(|(server, _)| server);
        let Some(share) = name.and_then(|name| ctx.shares.get(name)) else {
            let text = format!("nothing called `{object}` is shared here");
            return Err(Problem::new(404, "no_such_server", text));
        };
        otherwise = Some(share.audience.to_string());
        policy::decide(&share.audience, caller, unix_now()).into_result()
    });
    let verdict = verdict.map_err(|refused| refused.problem);
    match (verdict, otherwise) {
        (Err(problem), None) if problem.code == "no_such_server" => {
            return Err(problem.hint("peerage status lists what is shared"));
        }
        (verdict, Some(audience)) => {
            answer.by = "audience".to_owned();
            answer.reason = match verdict {
                Ok(_) => {
                    answer.verdict = "allow".to_owned();
                    format!("no rule decides, and it is shared with {audience}")
                }
                Err(problem) => {
                    answer.verdict = "refuse".to_owned();
                    format!(
                        "no rule decides, and it is shared with {audience}: {}",
                        problem.detail
                    )
                }
            };
        }
        (Ok(_), None) => {
            answer.verdict = "allow".to_owned();
            answer.reason = "a rule allows some of its tools, so it may be spoken with".to_owned();
        }
        (Err(_), None) => {}
    }
    Ok(answer)
}

fn resolved(subject: &Subject, caller: &Caller, name: &str) -> PolicyAnswer {
    let name = name.strip_prefix(Address::SCHEME).unwrap_or(name);
    let mut answer = listed(subject, Action::Resolve, name);
    if answer.by == "default" {
        answer.by = "audience".to_owned();
        answer.reason = "no rule decides, and members may ask for names".to_owned();
        if let Err(problem) = policy::decide(&Audience::Mesh, caller, unix_now()).into_result() {
            answer.verdict = "refuse".to_owned();
            answer.reason = format!("{}: {}", answer.reason, problem.detail);
        }
    }
    answer
}

fn seen(subject: &Subject, object: &str) -> PolicyAnswer {
    listed(subject, Action::See, object)
}

/// What the rules alone say, each that was asked included.
fn listed(subject: &Subject, action: Action, object: &str) -> PolicyAnswer {
    let steps = subject.rules().explain(subject.fits(), action, object);
    let decided = steps.iter().find(|(_, step)| *step == Step::Decided);
    let mut answer = PolicyAnswer {
        verdict: "allow".to_owned(),
        by: "default".to_owned(),
        reason: "no rule decides, and what no rule refuses is allowed".to_owned(),
        ..PolicyAnswer::default()
    };
    if let Some((rule, _)) = decided {
        by_rule(&mut answer, rule, action, object);
    }
    answer.steps = steps
        .into_iter()
        .map(|(rule, step)| PolicyStep {
            rule: rule.name.clone(),
            line: rule.line,
            why: word(step).to_owned(),
        })
        .collect();
    answer
}

fn by_rule(answer: &mut PolicyAnswer, rule: &Rule, action: Action, object: &str) {
    answer.by = "rule".to_owned();
    answer.rule = Some(rule.name.clone());
    answer.line = rule.line;
    if rule.then == Effect::Allow {
        answer.reason = format!("the rule `{}` allows it", rule.name);
        let limit = serde_json::to_value(&rule.limit).unwrap_or_default();
        answer.limit =
            Some(limit).filter(|limit| limit.as_object().is_some_and(|limit| !limit.is_empty()));
    } else {
        answer.verdict = "refuse".to_owned();
        answer.reason = refused(rule, action, object).detail;
    }
}

fn word(step: Step) -> &'static str {
    match step {
        Step::OtherSubject => "other_subject",
        Step::OtherAction => "other_action",
        Step::OtherObject => "other_object",
        Step::Decided => "decided",
    }
}
