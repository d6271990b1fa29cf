//! How much a rule allows.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Pace;

/// How much a rule allows one peer. What is absent is not limited by the rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Calls or messages in a time, such as `20/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How many of them may come at once. Default: those of one second, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Calls under way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// Bytes that may come in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes that may go in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// Calls or messages in a day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<u64>,
    /// Bytes in both directions in a day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_bytes: Option<u64>,
    /// The most bytes of one body or message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
    /// How long one call may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// So many in a time, written `20/s`, `100/m`, `5/h` or `1000/d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In how many seconds.
    pub seconds: u32,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number and a time, such as 20/s, 100/m, 5/h or 1000/d")]
pub struct RateError;

/// The times of a rate, in seconds.
const TIMES: [(&str, u32); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

impl Limit {
    /// The first key that limits to nothing: that is a refusal, and is written as one.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let zeros = [
            ("rate", self.rate.is_some_and(|rate| rate.count == 0)),
            ("burst", self.burst == Some(0)),
            ("at_once", self.at_once == Some(0)),
            ("bytes_in", self.bytes_in == Some(0)),
            ("bytes_out", self.bytes_out == Some(0)),
            ("daily", self.daily == Some(0)),
            ("daily_bytes", self.daily_bytes == Some(0)),
            ("body", self.body == Some(0)),
            ("seconds", self.seconds == Some(0)),
        ];
        let zero = zeros.into_iter().find(|(_, zero)| *zero);
        zero.map_or(Ok(()), |(key, _)| Err(key))
    }
}

impl Rate {
    /// The rate with what may come at once: so many, or those of one second, at least one.
    #[must_use]
    pub fn pace(&self, burst: Option<u32>) -> Pace {
        let of_a_second = self.count / self.seconds.max(1);
        Pace {
            count: self.count.into(),
            per: Duration::from_secs(self.seconds.into()),
            burst: burst.unwrap_or(of_a_second).max(1).into(),
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, time) = text.split_once('/').ok_or(RateError)?;
        let time = TIMES.iter().find(|(word, _)| *word == time);
        // A sign or a blank is no digit.
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RateError);
        }
        Ok(Self {
            count: count.parse().map_err(|_| RateError)?,
            seconds: time.ok_or(RateError)?.1,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = TIMES.iter().find(|(_, seconds)| *seconds == self.seconds);
        match word {
            Some((word, _)) => write!(f, "{}/{word}", self.count),
            None => write!(f, "{}/{} s", self.count, self.seconds),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
