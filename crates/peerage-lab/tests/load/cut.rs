//! Calls of tools while the connection is cut again and again, from either side.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use peerage::Node;
use peerage_lab::{Lab, Script, introduced, until_true};
use serde_json::{Map, Value, json};
use tokio::time::{interval, timeout};

use super::system::{TURN, children, open_files};

/// Calls in all.
const CALLS: usize = 1_600;
/// How many are in flight.
const IN_FLIGHT: usize = 16;
/// Of so many, one goes to a child.
const CHILD_OF: usize = 16;
/// Time from one cut to the next.
const CUT: Duration = Duration::from_millis(150);
/// Longer than any deadline of a call: reached only when one never ends.
const NEVER: Duration = Duration::from_secs(100);

/// The numbers of the calls that were executed, in their order.
type Executed = Arc<Mutex<Vec<usize>>>;

async fn pair(lab: &Lab, script: &Script, executed: &Executed) -> (Node, Node) {
    let b = lab.place_at("home", "b");
    let a = lab.place_at("home", "a").knowing(&b);
    let executed = executed.clone();
    let b = b
        .builder()
        .share(script.share("child", "mesh"))
        .tool("echo", "Echoes", move |args: Map<String, Value>| {
            let text = args.get("text").and_then(Value::as_str).unwrap_or_default();
            executed.lock().unwrap().extend(text.parse::<usize>());
            let text = text.to_owned();
            async move { Ok::<_, String>(text) }
        })
        .spawn()
        .await
        .unwrap();
    let a = a.start().await;
    introduced(&[&a, &b]).await;
    (a, b)
}

/// Makes a call; true when it was answered, false when it ended in an error that says what happened.
async fn call(a: &Node, number: usize) -> bool {
    let text = number.to_string();
    let tool = if number.is_multiple_of(CHILD_OF) {
        "b/child/run"
    } else {
        "b/functions/echo"
    };
    let called = timeout(NEVER, a.call(tool, json!({ "text": text }))).await;
    match called.expect("it ends") {
        Ok(result) => {
            let meant = if number.is_multiple_of(CHILD_OF) {
                "from the child"
            } else {
                &text
            };
            assert_eq!(result["content"][0]["text"], meant, "{number}");
            true
        }
        Err(problem) => {
            assert!(!problem.code.is_empty() && !problem.detail.is_empty());
            assert!((500..600).contains(&problem.status), "{problem:?}");
            false
        }
    }
}

async fn cut(by: &Node, of: &Node) {
    by.context().mesh.disconnect(of.peer_id(), "cut").await;
}

/// Tasks of both, open files and children of the process.
fn held(a: &Node, b: &Node) -> (usize, usize, usize) {
    let tasks = a.context().tasks.running() + b.context().tasks.running();
    (tasks, open_files(), children())
}

/// Ends every stream, and makes the first anew.
async fn settle(a: &Node, b: &Node) {
    cut(a, b).await;
    let peer = b.peer_id();
    until_true("the connection is cut", || {
        !a.context().mesh.is_connected(&peer)
    })
    .await;
    introduced(&[a, b]).await;
    for number in 0..2 {
        let number = CALLS * CHILD_OF + number;
        until_called(a, number).await;
    }
}

async fn until_called(a: &Node, number: usize) {
    let mut look = interval(Duration::from_millis(20));
    while !call(a, number).await {
        look.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_ends_and_nothing_is_left_when_connections_are_cut() {
    let _turn = TURN.lock().await;
    let lab = Lab::new();
    let answer = json!({ "content": [{ "type": "text", "text": "from the child" }] });
    let script = Script::new(&lab.folder().join("script"), &answer.to_string());
    let executed = Executed::default();
    let (a, b) = pair(&lab, &script, &executed).await;
    settle(&a, &b).await;
    let before = held(&a, &b);
    executed.lock().unwrap().clear();

    let done = AtomicBool::new(false);
    let cutting = async {
        let mut turn = interval(CUT);
        let mut cuts = 0;
        while !done.load(Ordering::Relaxed) {
            turn.tick().await;
            let (by, of) = if cuts % 2 == 0 { (&a, &b) } else { (&b, &a) };
            cut(by, of).await;
            cuts += 1;
        }
        cuts
    };
    let calling = async {
        let callers = (0..IN_FLIGHT).map(|first| {
            let a = &a;
            async move {
                let mut answered = Vec::new();
                for number in (first..CALLS).step_by(IN_FLIGHT) {
                    if call(a, number).await {
                        answered.push(number);
                    }
                }
                answered
            }
        });
        let answered = futures::future::join_all(callers).await;
        done.store(true, Ordering::Relaxed);
        answered.concat()
    };
    let (cuts, answered) = tokio::join!(cutting, calling);
    assert!(cuts > 4, "{cuts}");
    assert!(answered.len() > CALLS / 2, "{} answered", answered.len());
    let mut executed = std::mem::take(&mut *executed.lock().unwrap());
    executed.sort_unstable();
    assert!(executed.windows(2).all(|two| two[0] != two[1]), "twice");
    for number in answered.iter().filter(|n| !n.is_multiple_of(CHILD_OF)) {
        assert!(executed.binary_search(number).is_ok(), "{number}");
    }

    settle(&a, &b).await;
    until_true("tasks, files and children are as they were", || {
        let now = held(&a, &b);
        now.0 <= before.0 + 2 && now.1 <= before.1 && now.2 <= before.2
    })
    .await;
    a.stop().await;
    b.stop().await;
}
