//! Rules: an ordered table of who may do what, how much; the first rule that fits decides.
//!
//! Written as TOML or JSON, see [`RulesText`]; a [`Document`] is the text of a file. A rule fits when one of `who` is the
//! peer, `can` has the action, and one of `on` matches the object. What no rule decides is decided by what the node does
//! without rules: the audience of a share for calls, yes for the rest.
//!
//! Subjects are matched when a peer comes and when its grants change ([`Rules::fits`]), so that a call only looks at the
//! rules that can concern its caller ([`Rules::decide`]).
//!
//! # Chosen
//! A table of our own, after trying five engines with the same fifty rules: Cedar, CEL, Rego and Biscuit take 60 to 330 µs
//! for a decision where this takes less than one, none has limits, and only an ordered table can say *which line* decided.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};

use super::Caller;

mod action;
mod allowance;
mod document;
mod error;
mod limit;
mod pattern;
#[cfg(test)]
mod tests;
mod who;

pub use action::Action;
pub use allowance::{Allowance, Pace};
pub use document::{Document, DocumentError};
pub use error::{Part, RulesError};
pub use limit::{Limit, Rate};
pub use pattern::{Pattern, PatternError};
pub use who::{Who, WhoError};

/// Rules as they are written.
///
/// ```toml
/// [groups]
/// staff = ["o://acme/**"]
///
/// [[rule]]
/// name = "no admin tools"
/// who = ["everyone"]
/// can = ["call"]
/// on = ["mcp/*/admin-*"]
/// then = "refuse"
///
/// [[rule]]
/// name = "staff may search"
/// who = ["@staff"]
/// can = ["see", "call"]
/// on = ["mcp/crm/search"]
/// then = "allow"
/// limit = { rate = "20/s", at_once = 4 }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesText {
    /// Names for several subjects, used as `@name`; a group may name others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// The rules, first to last.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleText>,
}

/// One rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// What it is called in answers and in the audit: unique, at most [`Rules::MAX_NAME`] characters.
    pub name: String,
    /// Whom it concerns, see [`Who`]; `@group` for a group.
    pub who: Vec<String>,
    /// Which actions, see [`Action`]; `*` for all.
    pub can: Vec<String>,
    /// Which objects, see [`Pattern`]. `mcp/SERVER` means the server with all that is in it. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// What it says.
    pub then: Effect,
    /// How much, for a rule that allows. Counted for each peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It may.
    Allow,
    /// It may not.
    Refuse,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// Whom it concerns: any of these.
    pub who: Vec<Who>,
    /// Which actions.
    pub can: BTreeSet<Action>,
    /// Which objects: any of these; all when empty.
    pub on: Vec<Pattern>,
    /// What it says.
    pub then: Effect,
    /// How much.
    pub limit: Limit,
    /// On which line of the file it begins, from 1; none where it was not read from one.
    pub line: Option<usize>,
}

/// The rules of a node, whole and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// The rules that can concern a peer as long as what it has proven does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fits {
    /// Places in the table, rising.
    rules: Vec<usize>,
    /// Unix seconds from which on they must be looked up anew, because a grant begins or ends.
    until: Option<u64>,
}

/// Why a rule did or did not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It concerns others.
    OtherSubject,
    /// It is about other actions.
    OtherAction,
    /// It is about other objects.
    OtherObject,
    /// It decided; those behind it were not asked.
    Decided,
}

impl Rules {
    /// The most rules of a table.
    pub const MAX_RULES: usize = 1_000;
    /// The most entries of one list in a rule or a group.
    pub const MAX_ENTRIES: usize = 1_000;
    /// The most characters of the name of a rule or a group.
    pub const MAX_NAME: usize = 100;

    /// Checks the rules as a whole.
    ///
    /// # Errors
    /// The first thing that is wrong, with the rule it is in. Nothing takes effect then.
    pub fn new(text: &RulesText) -> Result<Self, RulesError> {
        if text.rules.len() > Self::MAX_RULES {
            return Err(RulesError::TooMany);
        }
        let groups = groups(&text.groups)?;
        let mut names = BTreeSet::new();
        let mut rules = Vec::with_capacity(text.rules.len());
        for rule in &text.rules {
            check_name(&rule.name)?;
            if !names.insert(&rule.name) {
                return Err(RulesError::SameName(rule.name.clone()));
            }
            rules.push(Rule::new(rule, &groups)?);
        }
        Ok(Self(rules))
    }

    /// The object that a tool of an MCP server is, in one part each.
    #[must_use]
    pub fn tool(server: &str, tool: &str) -> String {
        format!("mcp/{server}/{}", tool.replace('/', "%2F"))
    }

    /// The object that an MCP server is.
    #[must_use]
    pub fn server(server: &str) -> String {
        format!("mcp/{server}")
    }

    /// The rules, first to last.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// The rules that can concern a peer that comes from an IP address, at the time given in unix seconds.
    #[must_use]
    pub fn fits(&self, caller: &Caller, from: Option<IpAddr>, now: u64) -> Fits {
        let concerns = |rule: &Rule| rule.who.iter().any(|who| who.is(caller, from, now));
        let rules = (0..self.0.len())
            .filter(|place| concerns(&self.0[*place]))
            .collect();
        let until = caller
            .grants
            .iter()
            .flat_map(|grant| [grant.begins(), grant.expires])
            .filter(|time| *time > now)
            .min();
        Fits { rules, until }
    }

    /// The rule that decides, if one does. `object` is what the action is done to, its parts separated by `/`.
    #[must_use]
    pub fn decide(&self, fits: &Fits, action: Action, object: &str) -> Option<&Rule> {
        let rules = fits.rules.iter().filter_map(|place| self.0.get(*place));
        rules
            .filter(|rule| rule.can.contains(&action))
            .find(|rule| rule.is_about(object))
    }

    /// Whether some rule of the peer depends on more of the object than `object`, such as the tool of a server. If not, the
    /// answer for `object` holds for all below it.
    #[must_use]
    pub fn depends_below(&self, fits: &Fits, action: Action, object: &str) -> bool {
        let rules = fits.rules.iter().filter_map(|place| self.0.get(*place));
        rules
            .filter(|rule| rule.can.contains(&action))
            .flat_map(|rule| &rule.on)
            .any(|pattern| pattern.may_match_below(object))
    }

    /// Whether some rule of the peer allows something below an object, such as one tool of a server.
    #[must_use]
    pub fn may_allow_below(&self, fits: &Fits, action: Action, object: &str) -> bool {
        let rules = fits.rules.iter().filter_map(|place| self.0.get(*place));
        rules
            .filter(|rule| rule.then == Effect::Allow && rule.can.contains(&action))
            .flat_map(|rule| &rule.on)
            .any(|pattern| pattern.may_match_below(object))
    }

    /// The rule that refuses a peer whatever grants it may still show: who is just connecting has shown none yet.
    #[must_use]
    pub fn refuses_anyway(
        &self,
        caller: &Caller,
        from: Option<IpAddr>,
        now: u64,
        action: Action,
    ) -> Option<&Rule> {
        let rules = self.0.iter().filter(|rule| rule.can.contains(&action));
        for rule in rules.filter(|rule| rule.is_about("")) {
            match rule.then {
                Effect::Refuse if rule.surely_concerns(caller, from, now) => return Some(rule),
                Effect::Allow if rule.may_concern(caller, from, now) => return None,
                Effect::Refuse | Effect::Allow => {}
            }
        }
        None
    }

    /// Whether some rule is about an action.
    #[must_use]
    pub fn mention(&self, action: Action) -> bool {
        self.0.iter().any(|rule| rule.can.contains(&action))
    }

    /// Whether some rule asks where a peer comes from.
    #[must_use]
    pub fn ask_where(&self) -> bool {
        let mut who = self.0.iter().flat_map(|rule| &rule.who);
        who.any(|who| matches!(who, Who::Net(_)))
    }

    /// How the decision came about: each rule that was asked, and why it did or did not decide.
    #[must_use]
    pub fn explain(&self, fits: &Fits, action: Action, object: &str) -> Vec<(&Rule, Step)> {
        let mut steps = Vec::new();
        for (place, rule) in self.0.iter().enumerate() {
            let step = if fits.rules.binary_search(&place).is_err() {
                Step::OtherSubject
            } else if !rule.can.contains(&action) {
                Step::OtherAction
            } else if !rule.is_about(object) {
                Step::OtherObject
            } else {
                Step::Decided
            };
            steps.push((rule, step));
            if step == Step::Decided {
                break;
            }
        }
        steps
    }

    /// Rules that never decide, because one before them fits whatever they fit: pairs of the hidden one and the one before.
    /// Only what is certain is told.
    #[must_use]
    pub fn hidden(&self) -> Vec<(&Rule, &Rule)> {
        let mut hidden = Vec::new();
        for (place, rule) in self.0.iter().enumerate() {
            let before = self.0[..place].iter();
            hidden.extend(before.filter(|b| b.hides(rule)).map(|b| (rule, b)).next());
        }
        hidden
    }
}

impl Fits {
    /// Whether they still hold at the time given in unix seconds.
    #[must_use]
    pub fn hold_at(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Rule {
    fn new(text: &RuleText, groups: &Groups) -> Result<Self, RulesError> {
        let wrong = |part| RulesError::Rule {
            rule: text.name.clone(),
            part,
        };
        if text.who.is_empty() || text.can.is_empty() {
            return Err(wrong(Part::Empty));
        }
        if [&text.who, &text.can, &text.on]
            .iter()
            .any(|list| list.len() > Rules::MAX_ENTRIES)
        {
            return Err(wrong(Part::TooMany));
        }
        let mut who = Vec::new();
        for entry in &text.who {
            match entry.strip_prefix('@') {
                Some(group) => {
                    let members = groups.get(group);
                    let unknown = || wrong(Part::NoGroup(group.to_owned()));
                    who.extend(members.ok_or_else(unknown)?.iter().cloned());
                }
                None => who.push(entry.parse().map_err(|error| wrong(Part::Who(error)))?),
            }
        }
        let mut can = BTreeSet::new();
        for entry in &text.can {
            match entry.as_str() {
                "*" => can.extend(Action::ALL),
                word => {
                    let unknown = || wrong(Part::Action(word.to_owned()));
                    can.insert(Action::from_word(word).ok_or_else(unknown)?);
                }
            }
        }
        let on = text.on.iter().map(|pattern| Pattern::of_objects(pattern));
        let on: Result<_, _> = on.collect();
        let limit = text.limit.clone().unwrap_or_default();
        if text.then == Effect::Refuse && limit != Limit::default() {
            return Err(wrong(Part::LimitOfRefusal));
        }
        limit.check().map_err(|key| wrong(Part::Limit(key)))?;
        Ok(Self {
            name: text.name.clone(),
            who,
            can,
            on: on.map_err(|error| wrong(Part::On(error)))?,
            then: text.then,
            limit,
            line: None,
        })
    }

    /// Whether it concerns a peer whatever that may still prove: grants to come make more rules fit, and none fewer but those
    /// for strangers.
    fn surely_concerns(&self, caller: &Caller, from: Option<IpAddr>, now: u64) -> bool {
        let is = |who: &Who| *who != Who::Strangers && who.is(caller, from, now);
        self.who.iter().any(is)
    }

    /// Whether it may concern a peer that has not shown its grants yet.
    fn may_concern(&self, caller: &Caller, from: Option<IpAddr>, now: u64) -> bool {
        let may = |who: &Who| {
            let by_grant = matches!(who, Who::Members | Who::Mesh(_) | Who::Name(_));
            by_grant || who.is(caller, from, now)
        };
        self.who.iter().any(may)
    }

    fn is_about(&self, object: &str) -> bool {
        self.on.is_empty() || self.on.iter().any(|pattern| pattern.matches(object))
    }

    /// Whether this rule surely fits whatever `later` fits.
    fn hides(&self, later: &Self) -> bool {
        let who = self.who.contains(&Who::Everyone)
            || (!later.who.is_empty() && later.who.iter().all(|who| self.who.contains(who)));
        let on = self.on.is_empty()
            || (!later.on.is_empty() && later.on.iter().all(|on| self.on.contains(on)));
        who && on && later.can.is_subset(&self.can)
    }
}

type Groups = BTreeMap<String, Vec<Who>>;

/// The subjects of each group, those of the groups it names included.
fn groups(text: &BTreeMap<String, Vec<String>>) -> Result<Groups, RulesError> {
    let mut groups = Groups::new();
    for name in text.keys() {
        check_name(name)?;
        let mut members = Vec::new();
        gather(text, name, &mut Vec::new(), &mut members)?;
        groups.insert(name.clone(), members);
    }
    Ok(groups)
}

fn gather<'a>(
    text: &'a BTreeMap<String, Vec<String>>,
    name: &'a str,
    path: &mut Vec<&'a str>,
    members: &mut Vec<Who>,
) -> Result<(), RulesError> {
    let wrong = |part| RulesError::Group {
        group: name.to_owned(),
        part,
    };
    if path.contains(&name) {
        return Err(wrong(Part::Circle));
    }
    path.push(name);
    for entry in &text[name] {
        match entry.strip_prefix('@') {
            Some(other) if text.contains_key(other) => gather(text, other, path, members)?,
            Some(other) => return Err(wrong(Part::NoGroup(other.to_owned()))),
            None => members.push(entry.parse().map_err(|error| wrong(Part::Who(error)))?),
        }
        // Groups that name each other twice can double at each level.
        if members.len() > Rules::MAX_ENTRIES {
            return Err(wrong(Part::TooMany));
        }
    }
    path.pop();
    Ok(())
}

fn check_name(name: &str) -> Result<(), RulesError> {
    let fits = (1..=Rules::MAX_NAME).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        let shown = name.chars().take(Rules::MAX_NAME).collect();
        Err(RulesError::Name(shown))
    }
}
