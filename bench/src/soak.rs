//! The long load: calls spread over a time in which the connection is cut again and again. Every call
//! ends in its answer or in an error that says what happened, none is executed twice, and in the end
//! there is no more memory, open file, task or child than there was after the warm-up.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use peerage::Node;
use peerage_services::api::ShareRequest;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until, timeout},
};

use crate::{node::Transport, system};

/// Longer than warm streams are kept, and than the loops take to notice.
const SETTLE: Duration = Duration::from_secs(40);
/// How often what is held is looked at then; the least counts.
const LOOKS: u32 = 20;
/// Longer than any deadline of a call: one that has not ended by then never does.
const NEVER: Duration = Duration::from_secs(150);
/// Of so many calls one goes to the child, the others to a function of the node.
const CHILD_OF: usize = 8;
/// How much more memory there may be in the end.
const MEMORY: f64 = 1.10;
/// How often the memory is looked at meanwhile.
const SAMPLES: u32 = 30;

/// How much, for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Calls in all.
    #[arg(long, default_value_t = 1_000_000)]
    calls: usize,
    /// Minutes over which they are spread evenly.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Minutes of the same load before that, which count for nothing.
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// How many may be in flight.
    #[arg(long, default_value_t = 32)]
    in_flight: usize,
    /// Seconds from one cut to the next; the two nodes take turns.
    #[arg(long, default_value_t = 3.0)]
    cut_every: f64,
    /// Over this.
    #[arg(long, default_value = "tcp")]
    transport: Transport,
    /// One JSON document instead of a list.
    #[arg(long)]
    json: bool,
}

/// Which calls have been executed how often; by their numbers.
#[derive(Clone, Debug)]
struct Executed(Arc<Vec<AtomicU8>>);

impl Executed {
    fn none_of(calls: usize) -> Self {
        Self(Arc::new((0..calls).map(|_| AtomicU8::new(0)).collect()))
    }

    fn count(&self, text: &str) {
        let number = text.parse::<usize>().ok();
        if let Some(times) = number.and_then(|number| self.0.get(number)) {
            times.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn more_than_once(&self) -> usize {
        let times = self.0.iter().map(|times| times.load(Ordering::Relaxed));
        times.filter(|times| *times > 1).count()
    }
}

/// Two nodes of one home: one asks, one answers.
#[derive(Debug)]
struct Pair {
    asking: Node,
    answering: Node,
    executed: Executed,
    _home: tempfile::TempDir,
}

/// How the calls ended.
#[derive(Debug, Default, Serialize)]
struct Ended {
    answered: u64,
    /// By code, with the first detail of each.
    errors: BTreeMap<String, (u64, String)>,
    /// Errors that do not say what happened.
    unexplained: u64,
    wrong_answers: u64,
    without_end: u64,
    cuts: u64,
}

impl Ended {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.unexplained += other.unexplained;
        self.wrong_answers += other.wrong_answers;
        self.without_end += other.without_end;
        self.cuts += other.cuts;
        for (code, (count, detail)) in other.errors {
            self.errors.entry(code).or_insert((0, detail)).0 += count;
        }
    }
}

/// What two nodes hold of the machine.
#[derive(Clone, Copy, Debug, Serialize)]
struct Held {
    resident_kib: u64,
    files: usize,
    tasks: usize,
    children: usize,
}

/// Loads two nodes in this process, prints what came of it, and fails if it is not as it must be.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let pair = Arc::new(Pair::start(options).await?);
    let minutes = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
    let share = options.warm_up / options.minutes;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of calls"
    )]
    let warm_up = (options.calls as f64 * share) as usize;
    phase(&pair, options, (warm_up, minutes(options.warm_up))).await?;
    // Only what counts is looked at for calls that were executed twice.
    pair.executed
        .0
        .iter()
        .for_each(|times| times.store(0, Ordering::Relaxed));
    let before = pair.settled().await?;
    let (ended, resident) =
        phase(&pair, options, (options.calls, minutes(options.minutes))).await?;
    let after = pair.settled().await?;
    let twice = pair.executed.more_than_once();
    let result = json!({
        "measure": "soak",
        "transport": options.transport.name(),
        "calls": options.calls,
        "minutes": options.minutes,
        "ended": ended,
        "executed_twice": twice,
        "before": before,
        "resident_kib_meanwhile": resident,
        "after": after,
    });
    let pair = Arc::into_inner(pair).context("all callers have ended")?;
    pair.asking.stop().await;
    pair.answering.stop().await;
    print(&result, options.json)?;
    judge(&ended, twice, options.calls, (before, after))
}

fn judge(ended: &Ended, twice: usize, calls: usize, held: (Held, Held)) -> Result<()> {
    let failed: u64 = ended.errors.values().map(|(count, _)| count).sum();
    ensure!(
        ended.answered + failed == calls as u64,
        "not every call has ended as it should"
    );
    ensure!(
        ended.unexplained == 0,
        "an error does not say what happened"
    );
    ensure!(twice == 0, "{twice} calls were executed more than once");
    let (before, after) = held;
    #[expect(clippy::cast_precision_loss, reason = "kibibytes of a process")]
    let growth = after.resident_kib as f64 / before.resident_kib as f64;
    ensure!(growth <= MEMORY, "{growth:.2} times the memory");
    ensure!(
        after.files <= before.files
            && after.tasks <= before.tasks
            && after.children <= before.children,
        "something is left: {before:?}, then {after:?}"
    );
    Ok(())
}

fn print(result: &Value, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout();
    if as_json {
        writeln!(out, "{result:#}")?;
        return Ok(());
    }
    for (name, value) in result.as_object().context("it is an object")? {
        writeln!(out, "{name}: {value}")?;
    }
    Ok(())
}

impl Pair {
    async fn start(options: &Options) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let executed = Executed::none_of(options.calls);
        let counting = executed.clone();
        let listen = options.transport.listen();
        let answering = Node::builder(home.path())
            .name("answering")
            .mdns(false)
            .listen(listen.clone())
            .share(ShareRequest {
                name: "child".to_owned(),
                command: Some(std::env::current_exe()?.display().to_string()),
                args: vec!["toolbox".to_owned()],
                ..ShareRequest::default()
            })
            .tool("echo", "Echoes", move |arguments: Map<String, Value>| {
                let text = arguments.get("text").and_then(Value::as_str);
                let text = text.map(str::to_owned).ok_or("no text");
                counting.count(text.as_deref().unwrap_or_default());
                async move { text }
            })
            .spawn()
            .await?;
        let address = answering
            .status()
            .listen
            .first()
            .context("it listens")?
            .parse()?;
        let asking = Node::builder(home.path())
            .name("asking")
            .mdns(false)
            .listen(listen)
            .peer(address)
            .spawn()
            .await?;
        let pair = Self {
            asking,
            answering,
            executed,
            _home: home,
        };
        pair.first_calls().await?;
        Ok(pair)
    }

    /// What is held when there is a connection that has been used once, and nothing else.
    async fn settled(&self) -> Result<Held> {
        self.cut(0).await;
        self.first_calls().await?;
        sleep(SETTLE).await;
        // At any one moment something may be under way that is over a moment later.
        let mut least = self.held()?;
        for _ in 0..LOOKS {
            sleep(Duration::from_millis(500)).await;
            let held = self.held()?;
            least.files = least.files.min(held.files);
            least.tasks = least.tasks.min(held.tasks);
            least.resident_kib = held.resident_kib;
        }
        Ok(least)
    }

    async fn first_calls(&self) -> Result<()> {
        self.first("functions").await?;
        self.first("child").await
    }

    /// Waits until a server is there.
    async fn first(&self, server: &str) -> Result<()> {
        let tool = format!("answering/{server}/echo");
        let mut look = interval(Duration::from_millis(100));
        let answered = timeout(NEVER, async {
            loop {
                look.tick().await;
                let called = self.asking.call(&tool, json!({ "text": "first" })).await;
                if called.is_ok() {
                    break;
                }
            }
        });
        answered
            .await
            .with_context(|| format!("{tool} never answers"))
    }

    async fn call(&self, number: usize, ended: &mut Ended) {
        let server = if number.is_multiple_of(CHILD_OF) {
            "child"
        } else {
            "functions"
        };
        let text = number.to_string();
        let tool = format!("answering/{server}/echo");
        let call = self.asking.call(&tool, json!({ "text": text }));
        match timeout(NEVER, call).await {
            Err(_) => ended.without_end += 1,
            Ok(Ok(result)) if result["content"][0]["text"] == text => ended.answered += 1,
            Ok(Ok(_)) => ended.wrong_answers += 1,
            Ok(Err(problem)) => {
                if problem.code.is_empty() || problem.detail.is_empty() {
                    ended.unexplained += 1;
                }
                let detail = problem.detail.clone();
                ended.errors.entry(problem.code).or_insert((0, detail)).0 += 1;
            }
        }
    }

    /// Closes the connection, from one side and the other in turn.
    async fn cut(&self, turn: u64) {
        let (by, of) = if turn.is_multiple_of(2) {
            (&self.asking, &self.answering)
        } else {
            (&self.answering, &self.asking)
        };
        let mesh = &by.context().mesh;
        mesh.disconnect(of.peer_id(), "cut by the soak").await;
    }

    fn held(&self) -> Result<Held> {
        let Some(resident_kib) = system::resident_kib() else {
            bail!("what a process holds is known on Linux only");
        };
        Ok(Held {
            resident_kib,
            files: system::open_files()?,
            tasks: self.asking.context().tasks.running() + self.answering.context().tasks.running(),
            children: system::children()?,
        })
    }
}

/// Makes so many calls, spread over a time, while the connection is cut; and looks at the memory.
async fn phase(
    pair: &Arc<Pair>,
    options: &Options,
    (calls, within): (usize, Duration),
) -> Result<(Ended, Vec<u64>)> {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for first in 0..options.in_flight {
        let (pair, step) = (pair.clone(), options.in_flight);
        callers.spawn(async move {
            let mut ended = Ended::default();
            for number in (first..calls).step_by(step) {
                #[expect(clippy::cast_precision_loss, reason = "the number of a call")]
                let due = within.mul_f64(number as f64 / calls as f64);
                sleep_until(start + due).await;
                pair.call(number, &mut ended).await;
            }
            ended
        });
    }
    let mut all = Ended::default();
    let mut resident = Vec::new();
    let mut cut = interval(Duration::from_secs_f64(options.cut_every));
    let mut sample = interval((within / SAMPLES).max(Duration::from_millis(100)));
    loop {
        tokio::select! {
            done = callers.join_next() => match done {
                Some(ended) => all.add(ended?),
                None => return Ok((all, resident)),
            },
            _ = cut.tick() => {
                pair.cut(all.cuts).await;
                all.cuts += 1;
            }
            _ = sample.tick() => resident.extend(system::resident_kib()),
        }
    }
}
