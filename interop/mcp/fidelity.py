"""Uses everything that MCP has through two nodes with the official Python client, in both protocols, against the server
that the conformance suite expects: shared as a command and as a URL."""

import argparse
import asyncio
import json
import sys
import uuid
from pathlib import Path

import httpx2
from check import Checks, Way, http, outcome, plain, same
from mcp import MCPError, types

LARGE = 64 << 20
VENDOR = {"vendor.example/x": {"deep": [1.5, None, "ü"]}, "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


async def until(what, limit=15):
    for _ in range(limit * 10):
        if await what():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen in time")


def text_of(result):
    return result.content[0].text


async def check_calls(checks, label, client):
    async with checks.check(f"{label} · progress"):
        told = []

        async def on_progress(progress, total, message):
            told.append((progress, total, message))

        await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        same(told, [(0, 100, "begun"), (50, 100, "half"), (100, 100, "done")])
    async with checks.check(f"{label} · vendor _meta and traceparent"):
        seen = json.loads(text_of(await client.call_tool("show_meta", {}, meta=VENDOR)))
        same({key: seen.get(key) for key in VENDOR}, VENDOR)
    async with checks.check(f"{label} · prompts and completion"):
        same(len((await client.list_prompts()).prompts), 5)
        got = plain(await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"}))
        same("arg1='a', arg2='b'" in json.dumps(got), True)
        reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
        completed = await client.complete(reference, {"name": "arg1", "value": "par"})
        same(completed.completion.values, ["paris", "park", "party"])
    async with checks.check(f"{label} · resources"):
        same(len((await client.list_resources()).resources), 3)
        read = plain(await client.read_resource("test://template/7/data"))
        same("Data for ID: 7" in json.dumps(read), True)


async def check_cancelling(checks, label, client):
    async with checks.check(f"{label} · a call that is given up ends at the server"):
        key = uuid.uuid4().hex

        async def fate():
            return text_of(await client.call_tool("what_became_of", {"key": key}))

        async def is_waiting():
            return await fate() == "waiting"

        async def is_given_up():
            return await fate() == "given up"

        call = asyncio.create_task(client.call_tool("wait", {"key": key}))
        await until(is_waiting)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(is_given_up)


async def check_asking(checks, label, way):
    """Elicitation, sampling and roots as requests of the server (the older protocol), and logging."""
    logged = []

    async def elicited(_context, params):
        return types.ElicitResult(action="accept", content={"username": "u", "email": "e"})

    async def sampled(_context, params):
        return types.CreateMessageResult(
            role="assistant", model="interop", content=types.TextContent(type="text", text="sampled here")
        )

    async def rooted(_context):
        return types.ListRootsResult(roots=[types.Root(uri="file:///interop")])

    async def logs(params):
        logged.append(params.data)

    more = {
        "elicitation_callback": elicited,
        "sampling_callback": sampled,
        "list_roots_callback": rooted,
        "logging_callback": logs,
    }
    async with checks.check(f"{label} · elicitation, sampling, roots, logging"):
        async with way.connect("legacy", **more) as client:
            same("accept" in text_of(await client.call_tool("test_elicitation", {"message": "m"})), True)
            same(text_of(await client.call_tool("test_sampling", {"prompt": "p"})), "LLM response: sampled here")
            same("file:///interop" in text_of(await client.call_tool("test_roots", {})), True)
            await client.call_tool("test_tool_with_logging", {})

            async def has_logged():
                return len(logged) == 3

            await until(has_logged)
    async with checks.check(f"{label} · input required, in several rounds"):
        async with way.connect("auto", **more) as client:
            result = await client.call_tool("test_input_required_result_elicitation", {})
            same(text_of(result).startswith("Hello"), True)
            result = await client.call_tool("test_input_required_result_multiple_inputs", {})
            same(text_of(result), "All inputs are there")


async def events(client, url, body=None, headers=None):
    """The messages of a stream, raw."""
    method = "POST" if body else "GET"
    async with client.stream(method, url, json=body, headers=headers, timeout=30) as answer:
        same(answer.status_code, 200)
        async for line in answer.aiter_lines():
            if line.startswith("id:"):
                yield "id", line[3:].strip()
            if line.startswith("data:") and line[5:].strip():
                yield "message", json.loads(line[5:])


def modern(method, **params):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "interop", "version": "0"},
    }
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}, headers


async def check_streams(checks, label, url, token):
    accept = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=accept) as client:
        async with checks.check(f"{label} · a change right after subscribing, and one of a resource"):
            wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://watched-resource"]}
            body, headers = modern("subscriptions/listen", notifications=wanted)
            seen = []
            async for kind, message in events(client, url, body, headers):
                if kind != "message":
                    continue
                seen.append(message["method"])
                if len(seen) == 1:
                    for tool, arguments in (
                        ("test_trigger_tool_change", {}),
                        ("touch_resource", {"uri": "test://watched-resource"}),
                    ):
                        call, call_headers = modern("tools/call", name=tool, arguments=arguments)
                        same((await client.post(url, json=call, headers=call_headers)).status_code, 200)
                if len(seen) == 3:
                    break
            same(seen[1:], ["notifications/tools/list_changed", "notifications/resources/updated"])
        async with checks.check(f"{label} · a result of 64 MiB"):
            # The official client takes no event of more than 1 MiB, whoever sends it.
            body, headers = modern("tools/call", name="large_result", arguments={"bytes": LARGE})
            answer = await client.post(url, json=body, headers=headers, timeout=50)
            same(answer.text.count("x") >= LARGE, True)
        async with checks.check(f"{label} · a session's stream that broke is resumed"):
            await resume(client, url)


async def resume(client, url):
    begin = {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "interop", "version": "0"},
    }
    answer = await client.post(url, json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": begin})
    session = {"Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await client.post(url, json=ready, headers=session)
    params = {"name": "test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": "t"}}
    body = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}
    last = None
    async for kind, value in events(client, url, body, {**session, "Accept": "text/event-stream, application/json"}):
        if kind == "id":
            last = value
        else:
            break
    seen = []
    async for kind, value in events(client, url, None, {**session, "Last-Event-ID": last}):
        if kind == "message":
            seen.append(value.get("id") or value["params"]["progress"])
            if value.get("id") == 5:
                break
    same(seen[-1], 5)
    same(seen[:-1], sorted(set(seen[:-1])))


async def check_aggregate(checks, way, url, token, server):
    """Several callers of one upstream through the aggregate, each with progress of its own; and a large result."""
    label = f"{way.name} · {server}"
    async with checks.check(f"{label} · callers of both protocols are kept apart"):
        async with way.connect("auto") as one, way.connect("legacy") as other:
            listed = (await one.list_tools()).tools
            own = [tool.name for tool in listed if f"__{server}__" in tool.name]
            names = {name.partition(f"__{server}__")[2]: name for name in own}

            async def progress(client):
                told = []

                async def on_progress(progress, _total, message):
                    told.append((progress, message))

                await client.call_tool(names["test_tool_with_progress"], {}, progress_callback=on_progress)
                return told

            told = await asyncio.gather(*(progress(client) for client in (one, other) * 5))
            same(told, [[(0, "begun"), (50, "half"), (100, "done")]] * 10)
    async with checks.check(f"{label} · a result of 64 MiB"):
        accept = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=accept) as client:
            body, headers = modern("tools/call", name=names["large_result"], arguments={"bytes": LARGE})
            answer = await client.post(url, json=body, headers=headers, timeout=55)
            same(answer.text.count("x") >= LARGE, True)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--aggregate", required=True, metavar="URL")
    parser.add_argument("--way", action="append", required=True, metavar="NAME=URL")
    options = parser.parse_args()
    token = options.token_file.read_text().strip()
    checks = Checks()
    for name, url in (item.split("=", 1) for item in options.way):
        way = Way(name, http(url, token), True)
        for mode in ("auto", "legacy"):
            label = f"{name} · {mode}"
            async with way.connect(mode) as client:
                async with checks.check(f"{label} · its era"):
                    same(client.protocol_version, "2026-07-28" if mode == "auto" else "2025-11-25")
                await check_calls(checks, label, client)
                await check_cancelling(checks, label, client)
        await check_asking(checks, name, way)
        await check_streams(checks, name, url, token)
        aggregate = Way("/mcp", http(options.aggregate, token), False)
        await check_aggregate(checks, aggregate, options.aggregate, token, name)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    asyncio.run(main())
