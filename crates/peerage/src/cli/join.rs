//! `peerage join`: become a member of a mesh.

use std::{io::Read as _, time::Duration};

use http::Method;
use peerage::config::Layer;
use peerage_services::api::{JoinRequest, JoinView};

use super::{Context, Failure, guard, progress::Progress};

/// How long finding the inviter and its answer may take.
const WITHIN: Duration = Duration::from_secs(60);
/// The most bytes of a code on standard input.
const MAX_CODE: u64 = 16 * 1024;

/// Join a mesh with the code of an invite, or with a grant
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The code that `peerage invite` printed, or the text of a grant; `-` reads it from standard input
    code: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let code = read(args.code)?;
    let output = &context.output;
    let progress = Progress::new(output, "looking for the inviter");
    let (joined, running) = match context.client().await {
        Ok(client) => {
            let request = JoinRequest { code };
            let joined = client
                .send(Method::POST, "/api/v1/join", &request, WITHIN)
                .await?;
            (joined, true)
        }
        Err(failure) if failure.code() == "node_not_running" => {
            let mut config = context.config(Layer::default())?;
            config.guard = guard::prefix()?;
            (peerage::join(config, &code).await?, false)
        }
        Err(failure) => return Err(failure),
    };
    drop(progress);
    let joined: JoinView = joined;
    output.answer(&joined, |joined| {
        let (name, mesh) = (output.bold(&joined.name), &joined.mesh);
        let next = if running {
            "peerage tools"
        } else {
            "peerage up"
        };
        format!("joined {mesh} as {name}\nnext: {next}")
    });
    Ok(())
}

fn read(code: String) -> Result<String, Failure> {
    if code != "-" {
        return Ok(code);
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_CODE)
        .read_to_string(&mut text)
        .map_err(|error| Failure::io("cannot read standard input", &error))?;
    Ok(text.trim().to_owned())
}
