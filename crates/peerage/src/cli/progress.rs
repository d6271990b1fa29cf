//! Progress: shown on a terminal, silent elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// A line on the terminal that says what is being waited for; it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows a text, if there is a terminal to show it on.
    pub(crate) fn new(output: &Output, text: impl Into<String>) -> Self {
        let target = if output.shows_progress() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target).with_message(text.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Changes the text.
    pub(crate) fn say(&self, text: impl Into<String>) {
        self.0.set_message(text.into());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
