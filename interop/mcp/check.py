"""Uses MCP servers of others through a Peerage node with the official client, and compares with the servers themselves.

Three ways lead there: `peerage mcp` (stdio), the aggregate at /mcp, and the server's own endpoint at
/peers/{peer}/mcp/{server}. Each is tried in the current protocol (falling back as the client does) and in the one before.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
from mcp import Client, MCPError, StdioServerParameters, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

MODES = ("auto", "legacy")
LIMIT = 60


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextlib.asynccontextmanager
    async def check(self, name):
        try:
            async with asyncio.timeout(LIMIT):
                yield
        except Exception as error:
            self.failed += 1
            print(f"FAIL  {name}: {explain(error)}", flush=True)
        else:
            self.passed += 1
            print(f"ok    {name}", flush=True)


def explain(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:600]


def same(found, expected):
    if found != expected:
        raise AssertionError(f"found {json.dumps(found)[:250]}, expected {json.dumps(expected)[:250]}")


def plain(model):
    """What a result says, without what the protocols add to each in their own way."""
    value = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key in ("resultType", "ttlMs", "cacheScope"):
        value.pop(key, None)
    return value


# Where the aggregate says in each result whose it is.
ORIGIN = "dev.peerage/origin"


class Way:
    """One way to one server's tools: how to connect, and what its tools are called there."""

    def __init__(self, name, connect, origin=None):
        """`origin`: the peer and server that results say they are from; none at the server's own endpoint."""
        self.name = name
        self.connect = connect
        self.origin = origin
        self.is_server_itself = origin is None
        self.names = {}

    def tool(self, name):
        return name if self.is_server_itself else self.names[name]

    def answer(self, found):
        """What the server answered: without where that is from, which must be told and true."""
        if self.is_server_itself or "error" in found:
            return found
        meta = dict(found["_meta"])
        told = meta.pop(ORIGIN)
        same((told["peer"], told["server"]), self.origin)
        rest = {key: value for key, value in found.items() if key != "_meta"}
        return {**rest, "_meta": meta} if meta else rest


def stdio(command, env=None):
    program, *arguments = command
    return lambda mode, **more: Client(
        StdioServerParameters(command=program, args=arguments, env={**os.environ, **(env or {})}), mode=mode, **more
    )


def http(url, token):
    @contextlib.asynccontextmanager
    async def transport():
        headers = {"Authorization": f"Bearer {token}"}
        async with create_mcp_http_client(headers=headers) as client:
            async with streamable_http_client(url, http_client=client) as streams:
                yield streams

    return lambda mode, **more: Client(transport(), mode=mode, **more)


async def outcome(client, name, arguments):
    """A call's result, or its error: both must be the same on every way."""
    try:
        return plain(await client.call_tool(name, arguments))
    except MCPError as error:
        return {"error": error.code, "message": error.message}


CALLS = {
    "time": [
        ("convert_time", {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
        ("convert_time", {"source_timezone": "Nowhere", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
        ("convert_time", {"time": 12}),
    ],
    "everything": [
        ("echo", {"message": "grüße\n\u2028 \U0001f99c \"{}\" \\u0000"}),
        ("echo", {"message": "x" * 300_000}),
        ("echo", {}),
        ("get-sum", {"a": 1.5, "b": -2}),
        ("get-sum", {"a": "one", "b": 2}),
        ("get-tiny-image", {}),
        ("get-annotated-message", {"messageType": "error", "includeImage": True}),
        ("get-resource-links", {"count": 3}),
        ("get-structured-content", {"location": "Chicago"}),
    ],
}

PROGRESS = {"everything": ("trigger-long-running-operation", {"duration": 1, "steps": 4})}


async def directly(server, command, mode):
    """What the server itself answers: the measure for all ways."""
    connect = stdio(command)
    async with connect(mode) as client:
        expected = {
            "info": plain(client.server_info),
            "tools": [plain(tool) for tool in (await client.list_tools()).tools],
            "calls": [await outcome(client, name, arguments) for name, arguments in CALLS[server]],
            "unknown": await outcome(client, "no-such-tool", {}),
        }
        expected["version"] = client.protocol_version
        if server in PROGRESS:
            expected["progress"] = await progress_of(client, *PROGRESS[server])
        if client.server_capabilities.resources:
            expected["resources"] = await resources_of(client)
        if client.server_capabilities.prompts:
            expected["prompts"] = await prompts_of(client)
    return expected


async def progress_of(client, name, arguments):
    told = []

    async def on_progress(progress, total, message):
        told.append([progress, total, message])

    result = await client.call_tool(name, arguments, progress_callback=on_progress)
    return {"told": told, "result": plain(result)}


async def resources_of(client):
    listed = [plain(resource) for resource in (await client.list_resources()).resources]
    read = plain(await client.read_resource(listed[0]["uri"])) if listed else None
    return {"listed": listed, "read": read}


async def prompts_of(client):
    listed = [plain(prompt) for prompt in (await client.list_prompts()).prompts]
    simple = next((prompt for prompt in listed if not prompt.get("arguments")), None)
    got = plain(await client.get_prompt(simple["name"])) if simple else None
    return {"listed": listed, "got": got}


def own_tools(way, server, listed):
    """The server's tools as the way lists them, under the names the server gave them."""
    if way.is_server_itself:
        return listed
    own = []
    for tool in listed:
        _, _, rest = tool["name"].partition("__")
        if rest.startswith(f"{server}__"):
            name = rest.removeprefix(f"{server}__")
            way.names[name] = tool["name"]
            tool = {**tool, "name": name}
            if "title" in tool:
                tool["title"] = tool["title"].rpartition(" (on ")[0]
            own.append(tool)
    return own


async def check_way(checks, way, server, mode, expected):
    label = f"{server} · {way.name} · {mode}"
    stack = contextlib.AsyncExitStack()
    client = None
    async with checks.check(f"{label} · connect"):
        client = await stack.enter_async_context(way.connect(mode))
    if client is None:
        return
    await check_tools(checks, label, way, server, client, expected)
    if way.is_server_itself:
        await check_rest(checks, label, client, expected)
    async with checks.check(f"{label} · leave"):
        await stack.aclose()


async def check_tools(checks, label, way, server, client, expected):
    async with checks.check(f"{label} · list"):
        listed = [plain(tool) for tool in (await client.list_tools()).tools]
        names = [tool["name"] for tool in listed]
        if not way.is_server_itself:
            same(names, sorted(names))
            same([name for name in names if len(name) > 64 or not name.replace("-", "_").isidentifier()], [])
        own = own_tools(way, server, listed)
        order = (lambda tools: tools) if way.is_server_itself else (lambda tools: sorted(tools, key=lambda it: it["name"]))
        same(order(own), order(expected["tools"]))
    for (name, arguments), answer in zip(CALLS[server], expected["calls"], strict=True):
        async with checks.check(f"{label} · call {name} {json.dumps(arguments)[:60]}"):
            same(way.answer(await outcome(client, way.tool(name), arguments)), answer)
    async with checks.check(f"{label} · many calls at once"):
        name, arguments = CALLS[server][0]
        answers = await asyncio.gather(*(outcome(client, way.tool(name), arguments) for _ in range(20)))
        same([way.answer(answer) for answer in answers], [expected["calls"][0]] * 20)
    async with checks.check(f"{label} · unknown tool"):
        answer = await outcome(client, "no-such-tool", {})
        if way.is_server_itself:
            same(answer, expected["unknown"])
        else:
            same(answer["error"], types.INVALID_PARAMS)
    if server in PROGRESS:
        name, arguments = PROGRESS[server]
        async with checks.check(f"{label} · progress"):
            answered = await progress_of(client, way.tool(name), arguments)
            same({**answered, "result": way.answer(answered["result"])}, expected["progress"])
        async with checks.check(f"{label} · given up, and used again"):
            try:
                await client.call_tool(way.tool(name), {"duration": 30, "steps": 2}, read_timeout_seconds=0.5)
            except (MCPError, TimeoutError):
                pass
            else:
                raise AssertionError("it was not given up")
            name, arguments = CALLS[server][0]
            same(way.answer(await outcome(client, way.tool(name), arguments)), expected["calls"][0])


async def check_rest(checks, label, client, expected):
    async with checks.check(f"{label} · says who it is"):
        same(plain(client.server_info), expected["info"])
    if "resources" in expected:
        async with checks.check(f"{label} · resources"):
            same(without_times(await resources_of(client)), without_times(expected["resources"]))
    if "prompts" in expected:
        async with checks.check(f"{label} · prompts"):
            same(await prompts_of(client), expected["prompts"])


def without_times(value):
    """server-everything stamps what it reads with the time of reading."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if key not in ("text", "lastModified")}
    if isinstance(value, list):
        return [without_times(inner) for inner in value]
    return value


async def check_requests_of_the_server(checks, way):
    """Elicitation and sampling: the server asks the client while the client's call waits."""
    label = f"everything · {way.name} · legacy"

    async def elicited(_context, params):
        return types.ElicitResult(action="decline")

    async def sampled(_context, params):
        return types.CreateMessageResult(
            role="assistant", model="interop", content=types.TextContent(type="text", text="sampled here")
        )

    async with checks.check(f"{label} · the server's requests reach the client"):
        async with way.connect("legacy", elicitation_callback=elicited, sampling_callback=sampled) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            same({"trigger-elicitation-request", "trigger-sampling-request"} - names, set())
            answer = await outcome(client, "trigger-elicitation-request", {})
            if "declin" not in json.dumps(answer).lower():
                raise AssertionError(f"no refusal in {json.dumps(answer)[:200]}")
            answer = await outcome(client, "trigger-sampling-request", {"prompt": "say", "maxTokens": 5})
            if "sampled here" not in json.dumps(answer):
                raise AssertionError(f"nothing sampled in {json.dumps(answer)[:200]}")


async def check_outside(checks, api, token, peer):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as client:
        for path in ("/mcp", f"/peers/{peer}/mcp/time"):
            async with checks.check(f"no token · {path} is refused"):
                answer = await client.post(api + path, json=body, headers=accept)
                same(answer.status_code in (401, 403), True)
            async with checks.check(f"foreign host · {path} is refused"):
                headers = {**accept, "Authorization": f"Bearer {token}", "Host": "evil.example"}
                answer = await client.post(api + path, json=body, headers=headers)
                same(answer.status_code in (400, 403, 421), True)
        async with checks.check("an unknown server is not found"):
            headers = {**accept, "Authorization": f"Bearer {token}"}
            answer = await client.post(f"{api}/peers/{peer}/mcp/no-such-server", json=body, headers=headers)
            same(answer.status_code, 404)


async def check_commands(checks, peerage, home):
    async def run(*arguments):
        process = await asyncio.create_subprocess_exec(
            peerage, *arguments, env={**os.environ, "PEERAGE_HOME": home},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        out, error = await process.communicate()
        return process.returncode, out.decode(), error.decode()

    async with checks.check("command · call with key=value"):
        code, out, error = await run("call", "sharer/everything/get-sum", "a=2", "b=3", "--json")
        same((code, error if code else ""), (0, ""))
        same("5" in out, True)
    async with checks.check("command · call with JSON"):
        code, out, error = await run("call", "sharer/everything/echo", '{"message": "hi"}')
        same((code, error if code else ""), (0, ""))
        same("hi" in out, True)
    async with checks.check("command · call of an unknown tool"):
        code, _, _ = await run("call", "sharer/everything/no-such-tool")
        same(code in (1, 2), True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peerage", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--api", required=True, help="URL or HOST:PORT of the calling node")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--peer", required=True, help="PeerId of the sharing node")
    parser.add_argument("--server", action="append", required=True, metavar="NAME=COMMAND")
    return parser.parse_args()


async def main():
    options = arguments()
    checks = Checks()
    api = options.api if "://" in options.api else f"http://{options.api}"
    api = api.rstrip("/")
    token = options.token_file.read_text().strip() if options.token_file else ""
    for server, command in (item.split("=", 1) for item in options.server):
        expected = {mode: await directly(server, shlex.split(command), mode) for mode in MODES}
        endpoint = f"{api}/peers/{options.peer}/mcp/{server}"
        origin = (options.peer, server)
        ways = [
            Way("peerage mcp", stdio([options.peerage, "mcp"], {"PEERAGE_HOME": options.home}), origin),
            Way("/mcp", http(f"{api}/mcp", token), origin),
            Way("its endpoint", http(endpoint, token)),
        ]
        for way in ways:
            for mode in MODES:
                # The aggregate speaks to a server as that prefers, whatever its own client speaks.
                measure = expected[mode if way.is_server_itself else "auto"]
                await check_way(checks, way, server, mode, measure)
        if server == "everything":
            await check_requests_of_the_server(checks, ways[-1])
    await check_outside(checks, api, token, options.peer)
    await check_commands(checks, options.peerage, options.home)
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(checks.failed > 0)


if __name__ == "__main__":
    asyncio.run(main())
