"""What the conformance suite runs as the client under test: shares the scenario's URL on one node and calls its tools
from the other, so that what the suite sees is Peerage's own client.

The nodes stand in the environment: PEERAGE, SHARER_HOME, CALLER_HOME.
"""

import json
import os
import subprocess
import sys
import time

LIMIT = 20
# What a tool is called with when the scenario does not say.
SAMPLES = {"string": "text", "number": 1.5, "integer": 1, "boolean": True, "array": [], "object": {}, "null": None}


def peerage(node, *arguments):
    environment = {**os.environ, "PEERAGE_HOME": os.environ[f"{node}_HOME"]}
    done = subprocess.run(
        [os.environ["PEERAGE"], *arguments, "--json"], capture_output=True, text=True, env=environment, timeout=LIMIT
    )
    print(f"{node.lower()}$ peerage {' '.join(arguments)}\n{done.stdout}{done.stderr}", file=sys.stderr)
    return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None


def wait_for(what):
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        found = what()
        if found is not None:
            return found
        time.sleep(0.1)
    return None


def settled(name):
    """The share once its tools are known, or once it is known that they cannot be."""
    for share in peerage("SHARER", "share") or []:
        if share["name"] == name and (share["state"] == "ready" or share["error"]):
            return share
    return None


def sample(schema):
    kind = schema.get("type", "string")
    return schema.get("default", SAMPLES.get(kind if isinstance(kind, str) else kind[0], "text"))


def tools_of(name, count):
    tools = {tool["tool"]: tool for tool in peerage("CALLER", "tools") or [] if tool["server"] == name}
    return tools if len(tools) >= count else None


def calls_for(tools):
    """What the scenario wants called, or every tool once."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    for call in context.get("toolCalls", []):
        yield call["name"], call["arguments"]
    if context.get("toolCalls"):
        return
    for tool, described in tools.items():
        schema = described["input_schema"]
        if tool == "add_numbers":
            yield tool, {"a": 5, "b": 3}
        elif tool == "echo_schema" or "schema" in schema.get("properties", {}):
            # It wants to be shown the schema of another tool, as it arrived here.
            others = [other["input_schema"] for name, other in tools.items() if name != tool]
            yield tool, {"schema": others[0] if others else {}}
        else:
            properties = schema.get("properties", {})
            yield tool, {key: sample(properties.get(key, {})) for key in schema.get("required", [])}


def main():
    name = f"scenario-{os.getpid()}"
    peerage("SHARER", "share", f"{name}={sys.argv[1]}")
    try:
        share = wait_for(lambda: settled(name))
        if share and share["tools"]:
            for tool, arguments in calls_for(wait_for(lambda: tools_of(name, share["tools"])) or {}):
                peerage("CALLER", "call", f"sharer/{name}/{tool}", json.dumps(arguments))
    finally:
        peerage("SHARER", "unshare", name)


if __name__ == "__main__":
    main()
