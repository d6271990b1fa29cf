//! Why a command did not do what was asked, with its exit code.

use std::fmt;

use peerage::config::ConfigError;
use peerage_core::problem::Problem;

/// Exit code: refused or not found.
const REFUSED: u8 = 1;
/// Exit code: failed, or wrongly typed.
const FAILED: u8 = 2;
/// Exit code: interrupted by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// A problem and the exit code it ends in.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What to say. None when it was said already, or the user knows.
    pub(crate) problem: Option<Problem>,
    /// The exit code.
    pub(crate) exit: u8,
}

impl Failure {
    /// Something was typed that cannot be meant.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        Self {
            problem: Some(Problem::new(400, "usage", detail)),
            exit: FAILED,
        }
    }

    /// The same for a problem that has a code of its own.
    pub(crate) const fn usage_problem(problem: Problem) -> Self {
        Self {
            problem: Some(problem),
            exit: FAILED,
        }
    }

    /// Something failed, which has a code but was not refused by anyone.
    pub(crate) fn failed(code: &str, detail: impl Into<String>) -> Self {
        Problem::new(500, code, detail).into()
    }

    /// The system refused something.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::failed("io", format!("{what}: {error}"))
    }

    /// The user interrupted it.
    pub(crate) const fn interrupted() -> Self {
        Self {
            problem: None,
            exit: INTERRUPTED,
        }
    }

    /// It failed and has said so.
    pub(crate) const fn told() -> Self {
        Self {
            problem: None,
            exit: FAILED,
        }
    }

    /// The answer was no, and has been said.
    pub(crate) const fn refused_and_told() -> Self {
        Self {
            problem: None,
            exit: REFUSED,
        }
    }

    /// The same with a hint what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem = self.problem.map(|problem| problem.hint(hint));
        self
    }

    /// The code of its problem.
    pub(crate) fn code(&self) -> &str {
        self.problem.as_ref().map_or("", |problem| &problem.code)
    }
}

/// 4xx means that somebody said no; a timeout (408) and everything else, that it failed.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let refused = (400..500).contains(&problem.status) && problem.status != 408;
        Self {
            exit: if refused { REFUSED } else { FAILED },
            problem: Some(problem),
        }
    }
}

/// What is wrong with a configuration is wrongly typed, not refused.
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            problem: Some(error.into()),
            exit: FAILED,
        }
    }
}
