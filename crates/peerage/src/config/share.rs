//! What to share, as people write it: `NAME=COMMAND` or `NAME=URL`.

use peerage_services::api::ShareRequest;

/// The most characters of a share's name.
const MAX_NAME: usize = 64;

/// Why something cannot be shared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// There is no `=`.
    #[error("`{0}` is not NAME=COMMAND or NAME=URL")]
    Form(String),
    /// The name has characters that cannot be part of a tool's name or of a path.
    #[error("`{0}` cannot be a share's name: 1 to {MAX_NAME} letters, digits, `-` and `_` can")]
    Name(String),
    /// Neither or both of `command` and `url`.
    #[error("the share `{0}` needs either `command` or `url`")]
    Target(String),
    /// The command line cannot be split into words.
    #[error("the command of the share `{0}` has an open quote or ends in a backslash")]
    Quotes(String),
    /// There is no program in the command line.
    #[error("the share `{0}` names no program")]
    Empty(String),
    /// The URL has another scheme than HTTP, or no host.
    #[error("the share `{0}` has a URL that is not http:// or https://")]
    Url(String),
    /// Something that only a child process has was given for a URL.
    #[error("the share `{0}` is a URL, which has no args, env or cwd")]
    NotStdio(String),
}

/// Reads `NAME=COMMAND_OR_URL`; what begins with `http://` or `https://` is a URL.
///
/// # Errors
/// What is wrong with it.
pub fn parse_share(text: &str) -> Result<ShareRequest, ShareError> {
    let (name, target) = text
        .split_once('=')
        .ok_or_else(|| ShareError::Form(text.escape_default().to_string()))?;
    let mut share = ShareRequest {
        name: name.trim().to_owned(),
        ..ShareRequest::default()
    };
    let target = target.trim();
    if is_url(target) {
        share.url = Some(target.to_owned());
    } else {
        share.command = Some(target.to_owned());
    }
    check(&share)?;
    Ok(share)
}

/// What a share is, without secrets: the program's name, or the URL without user, query and fragment.
#[must_use]
pub fn share_target(share: &ShareRequest) -> String {
    if let Some(url) = &share.url {
        let plain = url.split(['?', '#']).next().unwrap_or_default();
        return match (plain.find("://"), plain.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => {
                format!("{}{}", &plain[..scheme + 3], &plain[at + 1..])
            }
            _ => plain.to_owned(),
        };
    }
    let words = shell_words::split(share.command.as_deref().unwrap_or_default());
    words
        .unwrap_or_default()
        .into_iter()
        .next()
        .unwrap_or_default()
}

/// Checks what a share must hold, wherever it was written.
pub(super) fn check(share: &ShareRequest) -> Result<(), ShareError> {
    let name = || share.name.escape_default().to_string();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if share.name.is_empty() || share.name.len() > MAX_NAME || !share.name.chars().all(allowed) {
        return Err(ShareError::Name(name()));
    }
    match (&share.command, &share.url) {
        (Some(command), None) => match shell_words::split(command) {
            Err(_) => Err(ShareError::Quotes(name())),
            Ok(words) if words.is_empty() => Err(ShareError::Empty(name())),
            Ok(_) => Ok(()),
        },
        (None, Some(url)) => {
            let stdio = !share.args.is_empty() || !share.env.is_empty() || share.cwd.is_some();
            let host = url
                .parse::<http::Uri>()
                .ok()
                .and_then(|u| u.host().map(str::len));
            match host {
                Some(1..) if is_url(url) && !stdio => Ok(()),
                Some(1..) if is_url(url) => Err(ShareError::NotStdio(name())),
                _ => Err(ShareError::Url(name())),
            }
        }
        _ => Err(ShareError::Target(name())),
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
