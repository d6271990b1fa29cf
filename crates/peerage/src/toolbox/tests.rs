use rmcp::{ServiceExt as _, model::CallToolRequestParams};
use serde_json::json;

use super::{Toolbox, rfc3339};

#[test]
fn times_are_written_as_rfc_3339() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(rfc3339(1_735_689_600), "2025-01-01T00:00:00Z");
    assert_eq!(rfc3339(4_102_444_799), "2099-12-31T23:59:59Z");
}

#[tokio::test]
async fn a_client_lists_and_calls_its_tools() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = Toolbox.serve_on(far);
    let client = async {
        let client = ().serve(near).await.unwrap();
        let mut names: Vec<_> = client.list_all_tools().await.unwrap();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<_> = names.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, ["echo", "host", "time"]);

        let arguments = json!({"text": "żółw"}).as_object().unwrap().clone();
        let call = CallToolRequestParams::new("echo").with_arguments(arguments);
        let answer = serde_json::to_value(client.call_tool(call).await.unwrap()).unwrap();
        assert_eq!(answer["content"][0]["text"], "żółw");

        let host = client
            .call_tool(CallToolRequestParams::new("host"))
            .await
            .unwrap();
        let host = serde_json::to_value(host).unwrap();
        assert!(host["structuredContent"]["memory_bytes"].as_u64().unwrap() > 0);
        client.cancel().await.unwrap();
    };
    let (served, ()) = tokio::join!(server, client);
    served.unwrap();
}
