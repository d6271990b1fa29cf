//! What a peer asks for, in the words of the rules, and what they say to it.

use peerage_core::{
    policy::rules::{Action, Effect, Rule, Rules},
    problem::Problem,
};

use super::Subject;

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// To speak with an MCP server: what comes before a tool is called, and the list of tools.
    Session(&'a str),
    /// What an MCP server has beside tools.
    Server(&'a str),
    /// A tool of an MCP server.
    Tool(&'a str, &'a str),
    /// A path of HTTP.
    Path(&'a str),
}

impl Asked<'_> {
    /// What it is to the rules.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Session(server) | Self::Server(server) => Rules::server(server),
            Self::Tool(server, tool) => Rules::tool(server, tool),
            Self::Path(path) => path.trim_start_matches('/').to_owned(),
        }
    }
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the caller is told.
    pub problem: Problem,
    /// The rule that refuses, if one does.
    pub rule: Option<String>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            rule: None,
        }
    }
}

impl Subject {
    /// Whether the peer may call what it asks for: as the first rule that fits says, and where none does, as `otherwise`
    /// says. The rule that allows is given, for it says how much.
    ///
    /// Who may call one tool of a server may speak with it, whatever is said of the server as a whole.
    ///
    /// # Errors
    ///
    /// The refusal, of a rule or of `otherwise`.
    pub fn call(
        &self,
        asked: Asked<'_>,
        otherwise: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<Option<&Rule>, Refused> {
        if self.rules().rules().is_empty() {
            otherwise()?;
            return Ok(None);
        }
        let object = asked.object();
        let refusal = match self.decide(Action::Call, &object) {
            Some(rule) if rule.then == Effect::Allow => return Ok(Some(rule)),
            Some(rule) => Refused {
                problem: refused(rule, Action::Call, &object),
                rule: Some(rule.name.clone()),
            },
            None => match otherwise() {
                Ok(()) => return Ok(None),
                Err(problem) => problem.into(),
            },
        };
        let a_part = matches!(asked, Asked::Session(_))
            && self
                .rules()
                .may_allow_below(self.fits(), Action::Call, &object);
        if a_part { Ok(None) } else { Err(refusal) }
    }

    /// Whether the peer may ask this node who bears a name: as the first rule that fits says, and where none does, as
    /// `otherwise` says.
    ///
    /// # Errors
    ///
    /// The refusal, of a rule or of `otherwise`.
    pub fn resolve(
        &self,
        name: &str,
        otherwise: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<(), Refused> {
        match self.decide(Action::Resolve, name) {
            Some(rule) if rule.then == Effect::Allow => Ok(()),
            Some(rule) => Err(Refused {
                problem: refused(rule, Action::Resolve, name),
                rule: Some(rule.name.clone()),
            }),
            None => Ok(otherwise()?),
        }
    }

    /// Whether the peer may find an object listed: unless a rule says no.
    #[must_use]
    pub fn sees(&self, object: &str) -> bool {
        let rule = self.decide(Action::See, object);
        rule.is_none_or(|rule| rule.then == Effect::Allow)
    }
}

/// The refusal by a rule.
#[must_use]
pub fn refused(rule: &Rule, action: Action, object: &str) -> Problem {
    let name = &rule.name;
    let what = if object.is_empty() { "" } else { " " };
    let text = format!("the rule `{name}` of this node refuses you to {action}{what}{object}");
    Problem::new(403, "refused_by_policy", text)
        .hint("its owner decides: `peerage policy test` there tells which rules were asked")
}
