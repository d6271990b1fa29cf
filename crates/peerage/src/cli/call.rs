//! `peerage call`: one tool, once.

mod arguments;
mod result;
mod target;

use std::{io::Read as _, time::Duration};

use http::Method;
use peerage::config::parse_duration;
use peerage_core::problem::Problem;
use peerage_services::api::{CallProgress, CallToolAnswer, CallToolRequest, ToolView};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::target::Target;
use super::{
    Context, Failure,
    client::{Client, Event},
    output::Output,
    progress::Progress,
};

/// What the node may take beyond the deadline of the call itself, to say that it passed.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a call may take in all while progress keeps extending its deadline.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// The most bytes of arguments on standard input.
const MAX_STDIN: u64 = 16 * 1024 * 1024;
/// Path of the route.
const ROUTE: &str = "/api/v1/tools/call";

/// Call a tool
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    peerage call workstation/files/list_directory path=/data\n  \
    peerage call o://acme/sales/assistant/quotes/lookup item=7\n  \
    peerage call workstation/sums/add numbers=1 numbers=2 exact:=true\n  \
    peerage call workstation/sums/add '{\"numbers\": [1, 2]}'\n  \
    echo '{\"text\": \"hi\"}' | peerage call workstation/toolbox/echo -\n\n\
    A value is read as the tool's input schema says; KEY:=JSON gives it as JSON,\n\
    and a key given several times makes a list.")]
pub(crate) struct Args {
    /// PEER/SERVER/TOOL as `peerage tools` lists it, where PEER may be a name (o://acme/sales, ../billing), or the tool's name in `peerage mcp`
    #[arg(value_name = "PEER/SERVER/TOOL")]
    tool: String,
    /// Arguments: KEY=VALUE or KEY:=JSON each, or one JSON object, or `-` to read one
    #[arg(value_name = "KEY=VALUE|JSON|-")]
    arguments: Vec<String>,
    /// Deadline, extended while progress flows
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client().await?;
    let output = &context.output;
    let (target, arguments) = prepare(&client, &args).await?;
    let request = CallToolRequest {
        peer: target.peer,
        server: target.server,
        tool: target.tool,
        arguments,
        timeout_s: args.timeout.as_secs(),
    };
    let answer = if output.shows_progress() {
        watched(&client, &request, output).await?
    } else {
        client
            .send(Method::POST, ROUTE, &request, LONGEST + MARGIN)
            .await?
    };
    let CallToolAnswer { result } = answer;
    let failed = result
        .get("isError")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    if failed && !output.json() {
        let said = result::text(&result);
        return Err(Failure::failed("tool_failed", said));
    }
    output.answer(&result, |result| result::render(result, output));
    if failed {
        return Err(Failure::told());
    }
    Ok(())
}

/// What is called, with which arguments. The list of tools is asked for only where it is needed: for a tool's
/// schema, or for a name without a path.
async fn prepare(client: &Client, args: &Args) -> Result<(Target, Map<String, Value>), Failure> {
    let typed = target::parse(&args.tool);
    let given = arguments::parse(&args.arguments)?;
    if let (Ok(target), arguments::Given::Whole(object)) = (&typed, &given) {
        return Ok((target.clone(), object.clone()));
    }
    if let (Ok(target), arguments::Given::Stdin) = (&typed, &given) {
        return Ok((target.clone(), stdin()?));
    }
    let tools: Vec<ToolView> = client.get("/api/v1/tools").await?;
    let known = match &typed {
        Ok(target) => target.find(&tools),
        Err(_) => tools.iter().find(|tool| tool.name == args.tool),
    };
    let target = match (typed, known) {
        (Ok(target), _) => target,
        (Err(_), Some(tool)) => Target::of(tool),
        (Err(failure), None) => return Err(failure),
    };
    let object = match given {
        arguments::Given::Whole(object) => object,
        arguments::Given::Stdin => stdin()?,
        arguments::Given::Pairs(pairs) => {
            arguments::typed(pairs, known.map(|tool| &tool.input_schema))?
        }
    };
    Ok((target, object))
}

fn stdin() -> Result<Map<String, Value>, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_STDIN)
        .read_to_string(&mut text)
        .map_err(|error| Failure::io("cannot read standard input", &error))?;
    arguments::object(&text)
}

/// The same call as a stream of events, so that its progress shows.
async fn watched(
    client: &Client,
    request: &CallToolRequest,
    output: &Output,
) -> Result<CallToolAnswer, Failure> {
    let name = format!("{}/{}/{}", request.peer, request.server, request.tool);
    let shown = Progress::new(output, &name);
    let mut events = client.events(ROUTE, request).await?;
    while let Some(event) = events.next().await? {
        match event.name.as_str() {
            "progress" => {
                let progress: CallProgress = read(&event)?;
                shown.say(format!("{name} {}", describe(&progress)));
            }
            "result" => return read(&event),
            "problem" => return Err(read::<Problem>(&event)?.into()),
            _ => {}
        }
    }
    Err(Failure::failed(
        "node_gone",
        "the node ended the call without a result",
    ))
}

fn describe(progress: &CallProgress) -> String {
    let done = progress.progress;
    let count = progress
        .total
        .map_or_else(|| format!("{done}"), |total| format!("{done}/{total}"));
    let message = progress.message.as_deref().unwrap_or_default();
    super::output::clean(&format!("{count} {message}"))
}

fn read<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    serde_json::from_str(&event.data).map_err(|error| {
        let detail = format!("the node's `{}` event cannot be read: {error}", event.name);
        Failure::failed("unexpected_answer", detail)
    })
}
