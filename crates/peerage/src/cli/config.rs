//! `peerage config show`: every effective value and where it came from.

use clap::Subcommand;
use peerage::config::{FILE_NAME, Layer, Setting};
use serde_json::{Value, json};

use super::{Context, Failure};

/// Show the configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every effective value and where it came from
    Show,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let Action::Show = args.action;
    let settings = context.config(Layer::default())?.settings();
    let file = context.home.join(FILE_NAME);
    let document = json!({
        "home": context.home,
        "file": file.exists().then_some(&file),
        "settings": settings,
    });
    let output = &context.output;
    output.answer(&document, |_| {
        let rows = settings.iter().map(row).collect();
        let table = output.table(&["key", "value", "from"], rows);
        let there = if file.exists() { "" } else { " (not there)" };
        format!("{table}\n\nfile: {}{there}", file.display())
    });
    Ok(())
}

fn row(setting: &Setting) -> Vec<String> {
    let value = match &setting.value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        other => other.to_string(),
    };
    vec![setting.key.clone(), value, setting.origin.to_string()]
}
