//! The built-in MCP server, as any MCP client uses it.

use rmcp::{
    ServiceExt as _,
    model::CallToolRequestParams,
    transport::{ConfigureCommandExt as _, TokioChildProcess},
};
use serde_json::{Value, json};

use super::program::typed;

fn call(name: &'static str, arguments: &Value) -> CallToolRequestParams {
    CallToolRequestParams::new(name).with_arguments(arguments.as_object().unwrap().clone())
}

#[tokio::test]
async fn the_toolbox_is_an_mcp_server_of_its_own() {
    let command = tokio::process::Command::new(env!("CARGO_BIN_EXE_peerage"));
    let child = TokioChildProcess::new(command.configure(|command| {
        command.arg("toolbox");
    }));
    let client = ().serve(child.unwrap()).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 3);
    for tool in &tools {
        let tool = serde_json::to_value(tool).unwrap();
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(
            tool["description"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{tool}"
        );
        assert_eq!(tool["annotations"]["readOnlyHint"], true);
    }
    let answer = client
        .call_tool(call("echo", &json!({"text": "hi\n\u{1b}"})))
        .await
        .unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(answer["content"][0]["text"], "hi\n\u{1b}");
    let host = client.call_tool(call("host", &json!({}))).await.unwrap();
    let host = serde_json::to_value(host).unwrap();
    assert!(host["structuredContent"]["cpus"].as_u64().unwrap() > 0);
    assert!(
        host["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("cpus")
    );

    let without = client.call_tool(call("echo", &json!({}))).await.unwrap();
    assert_eq!(
        without.is_error,
        Some(true),
        "what is missing is said to whoever called"
    );
    client
        .call_tool(call("nothing", &json!({})))
        .await
        .unwrap_err();
    let again = client.call_tool(call("time", &json!({}))).await.unwrap();
    assert!(serde_json::to_value(again).unwrap()["structuredContent"]["utc"].is_string());
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn it_ends_with_its_client_whatever_that_said() {
    let home = tempfile::tempdir().unwrap();
    for input in [
        "",
        "nonsense\n",
        "{}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n",
    ] {
        let ended = typed(home.path(), &["toolbox"], input).await;
        assert!(matches!(ended.code, 0 | 2), "{input:?} {ended:?}");
        assert!(!ended.err.contains("panicked"), "{ended:?}");
    }
}
