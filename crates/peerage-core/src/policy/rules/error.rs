//! What is wrong with rules.

use super::{Action, PatternError, Rules, WhoError};

/// Why a table of rules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// There are more than [`Rules::MAX_RULES`].
    #[error("there are at most {} rules", Rules::MAX_RULES)]
    TooMany,
    /// A rule or a group has no name, or none that fits a line.
    #[error("{0:?} is no name: it has 1 to {max} characters on one line", max = Rules::MAX_NAME)]
    Name(String),
    /// Two rules have one name.
    #[error("two rules are called `{0}`")]
    SameName(String),
    /// Something is wrong with a rule.
    #[error("rule `{rule}`: {part}")]
    Rule {
        /// Which rule.
        rule: String,
        /// What is wrong with it.
        #[source]
        part: Part,
    },
    /// Something is wrong with a group.
    #[error("group `{group}`: {part}")]
    Group {
        /// Which group.
        group: String,
        /// What is wrong with it.
        #[source]
        part: Part,
    },
}

/// What is wrong with a rule or a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Part {
    /// `who` or `can` is empty, so it would never fit.
    #[error("it needs `who` and `can`, or it would never fit")]
    Empty,
    /// A list is too long.
    #[error("a list has at most {} entries", Rules::MAX_ENTRIES)]
    TooMany,
    /// A subject is malformed.
    #[error(transparent)]
    Who(#[from] WhoError),
    /// There is no such group.
    #[error("there is no group `{0}`")]
    NoGroup(String),
    /// A group names itself, perhaps through others.
    #[error("it names itself")]
    Circle,
    /// There is no such action.
    #[error("unknown action `{0}`, one of {all}", all = Action::ALL.map(Action::as_str).join(", "))]
    Action(String),
    /// A pattern is malformed.
    #[error(transparent)]
    On(#[from] PatternError),
    /// A rule that refuses has limits.
    #[error("a rule that refuses has no limit")]
    LimitOfRefusal,
    /// A limit of nothing.
    #[error("`{0}` of 0 allows nothing: write a rule that refuses")]
    Limit(&'static str),
}
