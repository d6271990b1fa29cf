//! `peerage invite`: a code that lets another machine join, once.

use std::time::Duration;

use peerage::config::{format_duration, parse_duration};
use peerage_services::api::{DEFAULT_INVITE_S, InviteRequest, InviteView};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use super::{Context, Failure, output::Output};

/// Make a code that lets another machine join the mesh, once
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long it is good: 90s, 15m, 2h, 1d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    expires: Duration,
    /// Name that the new member gets [default: the name of its node]
    #[arg(long = "as", value_name = "NAME")]
    member: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let request = InviteRequest {
        expires_s: args.expires.as_secs(),
        name: args.member,
    };
    let invite: InviteView = context
        .client()
        .await?
        .post("/api/v1/invites", &request)
        .await?;
    let output = &context.output;
    output.answer(&invite, |invite| render(output, invite, args.expires));
    Ok(())
}

/// Without a terminal only the code is written, so that scripts can pass it on.
fn render(output: &Output, invite: &InviteView, within: Duration) -> String {
    if !output.is_terminal() {
        return invite.code.clone();
    }
    let code = qr(&invite.code).unwrap_or_default();
    let within = format_duration(within);
    let join = output.bold(&format!("peerage join {}", invite.code));
    let expires = &invite.expires;
    format!("{code}\nOn the other machine, once, within {within} (until {expires}):\n\n  {join}\n")
}

/// The code as a picture of half blocks; `None` when it is too long for one.
fn qr(code: &str) -> Option<String> {
    // Capitals take fewer modules, and a code means the same in them.
    let capitals = code.to_ascii_uppercase();
    let code = QrCode::with_error_correction_level(capitals, EcLevel::L).ok()?;
    let mut picture = code.render::<Dense1x2>();
    // Terminals are mostly dark: the light modules are the ones drawn.
    picture
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark);
    Some(picture.build())
}

const _: () = assert!(
    DEFAULT_INVITE_S == 15 * 60,
    "the flag's default is written out"
);

#[cfg(test)]
mod tests {
    use super::qr;

    #[test]
    fn a_code_becomes_a_picture_that_fits_a_terminal() {
        let picture = qr(&"PEERAGE1".repeat(30)).unwrap();
        let widest = picture.lines().map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= 80, "{picture}");
        assert!(qr(&"x".repeat(5_000)).is_none());
    }
}
