//! The table of credential formats.

/// One format: a prefix, and what must follow.
pub(super) struct Shape {
    /// What it is called.
    pub(super) kind: &'static str,
    /// What it begins with, or the name that stands before it.
    pub(super) prefix: &'static str,
    /// The prefix is a name and no part of the credential.
    pub(super) named: bool,
    /// No letter or digit stands before the prefix.
    pub(super) whole_word: bool,
    /// What the rest is made of.
    pub(super) alphabet: Alphabet,
    /// The fewest bytes of the rest.
    pub(super) least: usize,
    /// The most bytes of the rest that are looked at.
    pub(super) most: usize,
    /// The least entropy of the rest, in bits for each byte.
    pub(super) randomness: f64,
    /// What else must be so of the whole.
    pub(super) holds: fn(&[u8]) -> bool,
}

/// What the rest of a credential is made of.
#[derive(Clone, Copy)]
pub(super) enum Alphabet {
    /// Letters and digits.
    Letters,
    /// Upper-case letters and digits.
    Upper,
    /// Letters, digits, `-` and `_`.
    Url,
    /// As [`Alphabet::Url`], and `.`.
    Dotted,
    /// What PEM is made of between its lines, escaped line ends included.
    Pem,
    /// What passwords are made of: all that is printed, without blanks, quotes, commas and backslashes.
    Printed,
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Self::Letters => byte.is_ascii_alphanumeric(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::Pem => {
                byte.is_ascii_alphanumeric()
                    || matches!(
                        byte,
                        b'+' | b'/' | b'=' | b'-' | b'\\' | b'\n' | b'\r' | b' '
                    )
            }
            Self::Printed => {
                byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b',' | b'`')
            }
        }
    }
}

/// A token with a prefix of its own.
const fn token(
    kind: &'static str,
    prefix: &'static str,
    alphabet: Alphabet,
    least: usize,
) -> Shape {
    Shape {
        kind,
        prefix,
        named: false,
        whole_word: true,
        alphabet,
        least,
        most: 512,
        randomness: 3.2,
        holds: |_| true,
    }
}

/// A JSON Web Token. Grants are some too and no secrets, for they are bound to a key.
const fn jwt() -> Shape {
    Shape {
        kind: "json-web-token",
        most: 8_192,
        holds: |text| {
            let parts = text.split(|byte| *byte == b'.');
            let grant = crate::grant::HEADERS
                .iter()
                .any(|header| text.starts_with(header.as_bytes()));
            !grant && parts.filter(|part| part.len() >= 8).count() == 3
        },
        ..token("", "eyJ", Alphabet::Dotted, 60)
    }
}

/// A value that only its name makes a credential.
const fn named(prefix: &'static str) -> Shape {
    Shape {
        kind: "named-secret",
        prefix,
        named: true,
        whole_word: false,
        alphabet: Alphabet::Printed,
        least: 12,
        most: 512,
        randomness: 3.0,
        // Words such as `your_key_here` and references such as `${KEY}` are none.
        holds: |value| {
            let refers = value.first().is_some_and(|byte| b"$<{%".contains(byte));
            !refers
                && value.iter().any(u8::is_ascii_digit)
                && value.iter().any(u8::is_ascii_alphabetic)
        },
    }
}

/// A private key in PEM.
const fn pem(prefix: &'static str) -> Shape {
    Shape {
        kind: "private-key",
        prefix,
        named: false,
        whole_word: false,
        alphabet: Alphabet::Pem,
        least: 32,
        most: 16_384,
        randomness: 3.2,
        holds: |_| true,
    }
}

/// Bytes of the longest prefix.
pub(super) const LONGEST_PREFIX: usize = {
    let (mut longest, mut at) = (0, 0);
    while at < SHAPES.len() {
        let length = SHAPES[at].prefix.len();
        if length > longest {
            longest = length;
        }
        at += 1;
    }
    longest
};

/// Whether a prefix begins with a byte.
pub(super) const BEGINS: [bool; 256] = {
    let (mut begins, mut at) = ([false; 256], 0);
    while at < SHAPES.len() {
        begins[SHAPES[at].prefix.as_bytes()[0] as usize] = true;
        at += 1;
    }
    begins
};

/// All formats. The longest prefix that fits wins.
pub(super) const SHAPES: &[Shape] = &[
    token("anthropic-key", "sk-ant-", Alphabet::Url, 20),
    token("openai-key", "sk-proj-", Alphabet::Url, 20),
    token("openai-key", "sk-svcacct-", Alphabet::Url, 20),
    token("openrouter-key", "sk-or-v1-", Alphabet::Letters, 32),
    token("api-key", "sk-", Alphabet::Url, 32),
    token("groq-key", "gsk_", Alphabet::Letters, 40),
    token("xai-key", "xai-", Alphabet::Letters, 40),
    token("replicate-token", "r8_", Alphabet::Letters, 30),
    token("huggingface-token", "hf_", Alphabet::Letters, 30),
    token("perplexity-key", "pplx-", Alphabet::Letters, 32),
    token("google-key", "AIza", Alphabet::Url, 30),
    token("google-oauth", "ya29.", Alphabet::Dotted, 30),
    token("google-oauth", "GOCSPX-", Alphabet::Url, 20),
    token("aws-key-id", "AKIA", Alphabet::Upper, 16),
    token("aws-key-id", "ASIA", Alphabet::Upper, 16),
    token("github-token", "ghp_", Alphabet::Letters, 30),
    token("github-token", "gho_", Alphabet::Letters, 30),
    token("github-token", "ghu_", Alphabet::Letters, 30),
    token("github-token", "ghs_", Alphabet::Letters, 30),
    token("github-token", "ghr_", Alphabet::Letters, 30),
    token("github-token", "github_pat_", Alphabet::Url, 40),
    token("gitlab-token", "glpat-", Alphabet::Dotted, 20),
    token("npm-token", "npm_", Alphabet::Letters, 30),
    token("pypi-token", "pypi-AgE", Alphabet::Url, 40),
    token("crates-io-token", "cio", Alphabet::Letters, 32),
    token("slack-token", "xoxb-", Alphabet::Url, 20),
    token("slack-token", "xoxp-", Alphabet::Url, 20),
    token("slack-token", "xoxa-", Alphabet::Url, 20),
    token("slack-token", "xapp-", Alphabet::Url, 20),
    token("stripe-key", "sk_live_", Alphabet::Letters, 16),
    token("stripe-key", "rk_live_", Alphabet::Letters, 16),
    token("stripe-webhook-secret", "whsec_", Alphabet::Letters, 24),
    token("sendgrid-key", "SG.", Alphabet::Dotted, 40),
    token("digitalocean-token", "dop_v1_", Alphabet::Letters, 40),
    token("shopify-token", "shpat_", Alphabet::Letters, 30),
    token("linear-key", "lin_api_", Alphabet::Letters, 30),
    token("notion-token", "ntn_", Alphabet::Letters, 30),
    token("databricks-token", "dapi", Alphabet::Letters, 32),
    token("vault-token", "hvs.", Alphabet::Url, 24),
    token("tailscale-key", "tskey-", Alphabet::Url, 20),
    token("age-key", "AGE-SECRET-KEY-1", Alphabet::Upper, 40),
    jwt(),
    pem("-----BEGIN PRIVATE KEY-----"),
    pem("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
    pem("-----BEGIN RSA PRIVATE KEY-----"),
    pem("-----BEGIN EC PRIVATE KEY-----"),
    pem("-----BEGIN OPENSSH PRIVATE KEY-----"),
    pem("-----BEGIN PGP PRIVATE KEY BLOCK-----"),
    named("API_KEY="),
    named("APIKEY="),
    named("ACCESS_KEY="),
    named("SECRET_KEY="),
    named("PRIVATE_KEY="),
    named("SECRET="),
    named("TOKEN="),
    named("PASSWORD="),
    named("PASSWD="),
];

/// The kinds of credentials that are known, each once.
#[must_use]
pub fn kinds() -> Vec<&'static str> {
    let mut kinds: Vec<_> = SHAPES.iter().map(|shape| shape.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
