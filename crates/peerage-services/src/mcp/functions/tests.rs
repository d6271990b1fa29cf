use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::mcp::client::{CallOptions, McpClient, ToolCallError};

#[derive(Deserialize, JsonSchema)]
struct Sum {
    /// The numbers to add.
    numbers: Vec<f64>,
}

fn client(tasks: &Tasks) -> McpClient {
    let server = FunctionServer::new("calculator")
        .tool("sum", "Adds numbers.", |sum: Sum| async move {
            Ok::<f64, String>(sum.numbers.iter().sum())
        })
        .tool("pair", "Makes a pair.", |(): ()| async {
            Ok::<_, String>(json!({"left": 1, "right": 2}))
        })
        .tool("greet", "Greets.", |(): ()| async {
            Ok::<_, String>("hello")
        })
        .tool("fail", "Fails.", |(): ()| async {
            Err::<(), _>("it rained")
        });
    McpClient::new(Arc::new(server.into_router(tasks)), "/", tasks)
}

fn arguments(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[tokio::test]
async fn functions_are_tools() {
    let tasks = Tasks::new();
    let client = client(&tasks);
    let tools = client.list_tools().await.unwrap();
    let names: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["fail", "greet", "pair", "sum"]);
    assert_eq!(tools[3]["description"], "Adds numbers.");
    assert_eq!(
        tools[3]["inputSchema"]["properties"]["numbers"]["description"],
        "The numbers to add."
    );
    assert_eq!(tools[0]["inputSchema"]["type"], "object");
}

#[tokio::test]
async fn answers_become_results() {
    let tasks = Tasks::new();
    let client = client(&tasks);
    let call = |name: &'static str, value: Value| {
        let client = client.clone();
        async move {
            client
                .call_tool(name, arguments(value), CallOptions::default())
                .await
        }
    };
    let sum = call("sum", json!({"numbers": [1, 2.5]})).await.unwrap();
    assert_eq!(sum["content"][0]["text"], "3.5");
    let pair = call("pair", json!({})).await.unwrap();
    assert_eq!(pair["structuredContent"], json!({"left": 1, "right": 2}));
    let greet = call("greet", json!({})).await.unwrap();
    assert_eq!(greet["content"][0]["text"], "hello");
    let fail = call("fail", json!({})).await.unwrap();
    assert_eq!(
        (&fail["isError"], &fail["content"][0]["text"]),
        (&json!(true), &json!("it rained"))
    );
    let wrong = call("sum", json!({"numbers": "many"})).await.unwrap();
    assert_eq!(wrong["isError"], true);
    let unknown = call("nothing", json!({})).await;
    let Err(ToolCallError::Rpc(error)) = unknown else {
        panic!("{unknown:?}");
    };
    assert_eq!(error.code, -32602);
}
