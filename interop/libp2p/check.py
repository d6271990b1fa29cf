"""Starts one of our nodes and one of another implementation of libp2p in each of several networks, all at once, and
checks that they find each other, stay connected, and answer each other.

The other node is peer.js or peer.py, which tell what they see, one JSON object a line.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

# Seconds. What is waited for at the most, and how long a connection must last.
PATIENCE = 60
HOLD = 60

# How addresses of each transport look. py-libp2p calls the one of a connection that it has accepted /quic.
TRANSPORT = {
    "tcp": re.compile(r"^/ip[46]/[^/]+/tcp/\d+(/p2p/.*)?$"),
    "quic": re.compile(r"^/ip[46]/[^/]+/udp/\d+/quic(-v1)?(/p2p/.*)?$"),
}


class Case:
    """One of our nodes and one of theirs."""

    def __init__(self, options, words):
        self.kind, self.transport, self.place, self.space, self.other_space = words.split()
        self.name = f"{self.kind} {self.transport} {self.place}"
        self.peerage = options.peerage
        self.command = shlex.split({"js": options.js, "py": options.py}[self.kind])
        self.folder = options.work / self.name.replace(" ", "-")
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        self.events = []
        self.told = asyncio.Condition()
        self.passed = 0
        self.failed = 0

    @contextlib.asynccontextmanager
    async def check(self, what):
        try:
            yield
        except (AssertionError, LookupError, ValueError) as error:
            self.failed += 1
            print(f"FAIL  {self.name} · {what}: {type(error).__name__}: {error}"[:900], flush=True)
        else:
            self.passed += 1
            print(f"ok    {self.name} · {what}", flush=True)

    async def ours(self, *arguments, fails=False):
        """What the command line of our node says, as JSON."""
        process = await asyncio.create_subprocess_exec(
            self.peerage, "--home", self.home, "--json", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        if (process.returncode != 0) != fails:
            raise AssertionError(f"peerage {' '.join(arguments)}: exit code {process.returncode}: {out + error}")
        return json.loads(out)

    async def until(self, what, ask):
        """Asks again and again until there is an answer."""
        with patience(what):
            async with asyncio.timeout(PATIENCE):
                while True:
                    with contextlib.suppress(AssertionError):
                        if answer := await ask():
                            return answer
                    await asyncio.sleep(0.3)

    async def event(self, kind, after=0):
        """The first thing of a kind that they tell after so many others."""
        def told():
            failed = [event for event in self.events[after:] if event["event"] == "failed"]
            if failed:
                raise AssertionError(f"they failed: {failed}")
            return next((event for event in self.events[after:] if event["event"] == kind), None)

        with patience(f"theirs to tell `{kind}`"):
            async with asyncio.timeout(PATIENCE), self.told:
                return await self.told.wait_for(told)

    async def start(self, program, space, name, **streams):
        """Starts a program in a network namespace; what it writes to standard error is kept."""
        with open(self.folder / f"{name}.log", "wb") as log:
            # `ip netns exec` turns into the program.
            return await asyncio.create_subprocess_exec(
                "ip", "netns", "exec", space, *program, stderr=log, env={**os.environ, **streams.pop("env", {})},
                **streams,
            )

    async def listen(self, process):
        async for line in process.stdout:
            async with self.told:
                self.events.append(json.loads(line))
                self.told.notify_all()

    async def run(self):
        """Runs both nodes and all checks."""
        up = [self.peerage, "--home", self.home, "up", "--name", "ours", "--api", "127.0.0.1:0"]
        if self.transport == "quic":
            # Else they might meet by TCP, and py-libp2p looks only at the first address that mDNS tells.
            up += ["--listen", "/ip4/0.0.0.0/udp/0/quic-v1"]
        running = []
        try:
            running.append(await self.start(
                up, self.space, "ours", env={"PEERAGE_LOG": "info,peerage_mesh=debug"},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            ))
            status = await self.until("our node to start", lambda: self.ours("status"))
            command = [*self.command, "--transport", self.transport, "--ours", status["peer_id"]]
            if self.place == "across":
                command.append("--dial")
            theirs = await self.start(
                command, self.other_space, "theirs",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
            running.append(theirs)
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self.listen(theirs))
                await self.all_checks(status, theirs)
                listening.cancel()
        except Exception as error:
            async with self.check("runs to its end"):
                raise AssertionError(repr(error)) from error
        finally:
            await stop(running)
        if self.failed:
            self.show_logs()

    async def all_checks(self, status, theirs):
        peer = (await self.event("ready"))["peer"]
        peers = {}

        async def known():
            peers.update({one["peer_id"]: one for one in await self.ours("peers")})
            return peers.get(peer)

        async def heard_of():
            record = await known()
            return record and [one["address"] for one in record["addresses"] if one["source"] == "mdns"]

        async with self.check("they find ours over mDNS"):
            self.suits(await self.event("found"))
        async with self.check("ours finds them over mDNS"):
            self.suits({"addresses": await self.until("our node to find theirs", heard_of)})
        async with self.check(f"connected by {self.transport}"):
            self.suits(await self.event("connected"))
        began = asyncio.get_running_loop().time()
        async with self.check("they ping ours"):
            same((await self.event("ping"))["ms"] >= 0, True)
        async with self.check("ours pings them"):
            same((await self.ours("ping", peer, "--count", "3"))["lost"], 0)
        async with self.check("they read our card over a stream that they open"):
            answer = await self.event("card")
            same(answer["status"], 200)
            self.is_our_card(json.loads(answer["body"]), status)
        if self.kind == "js":
            await self.checks_of_http(peer)
        else:
            async with self.check("ours says why it has no card of theirs"):
                refusal = await self.ours("card", peer, fails=True)
                same("/http/1.1" in json.dumps([refusal, await known()]), True)
        async with self.check(f"connected for {HOLD} s without a break"):
            await self.holds(began, known)
        async with self.check("both ping each other after that"):
            before = len(self.events)
            theirs.stdin.write(b"\n")
            await theirs.stdin.drain()
            same((await self.event("ping", before))["ms"] >= 0, True)
            same((await self.ours("ping", peer, "--count", "3"))["lost"], 0)

    async def checks_of_http(self, peer):
        async with self.check("ours reads and verifies the card that @libp2p/http serves"):
            async def card():
                return await self.ours("card", peer)

            card = await self.until("their card", card)
            same(card["name"], "javascript")
            same(extension(card)["peerId"], peer)
            record = next(one for one in await self.ours("peers") if one["peer_id"] == peer)
            same((record["name"], record["servers"], record["last_error"]), ("javascript", ["adder"], None))
        async with self.check("ours calls a tool of an MCP server behind @libp2p/http"):
            result = await self.ours("call", f"{peer}/adder/add", '{"a": 2, "b": 40}')
            same(result["content"][0]["text"], "42")

    async def holds(self, began, known):
        """Looks from both sides until the connection is old enough."""
        while asyncio.get_running_loop().time() < began + HOLD:
            record = await known()
            if not record["connected"] or record["failures"]:
                raise AssertionError(f"our node is not connected: {record}")
            await asyncio.sleep(1)
        lost = [event for event in self.events if event["event"] in ("lost", "failed")]
        same(lost, [])
        log = (self.folder / "ours.log").read_text()
        same([line for line in log.splitlines() if "disconnected" in line or "a ping failed" in line], [])

    def suits(self, told):
        """Whether one of these addresses is of the transport, and none names a machine that nobody can reach."""
        addresses = told["addresses"]
        if not any(TRANSPORT[self.transport].match(address) for address in addresses):
            raise AssertionError(f"no address of {self.transport} in {addresses}")
        if any("/0.0.0.0/" in address for address in addresses):
            raise AssertionError(f"an address of nowhere in {addresses}")

    def is_our_card(self, card, status):
        same((card["name"], extension(card)["peerId"]), ("ours", status["peer_id"]))
        same(extension(card)["did"], status["did"])
        same(len(card["signatures"]), 1)

    def show_logs(self):
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-30:]
            print("\n".join([f"--- {self.name}: {log.name}", *lines]), file=sys.stderr)
        told = [json.dumps(event)[:300] for event in self.events[-20:]]
        print("\n".join([f"--- {self.name}: what they told", *told]), file=sys.stderr, flush=True)


@contextlib.contextmanager
def patience(what):
    try:
        yield
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


def extension(card):
    return next(one["params"] for one in card["capabilities"]["extensions"] if "peerId" in one.get("params", {}))


def same(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


async def stop(running):
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    for process in running:
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peerage", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--js", required=True, metavar="COMMAND")
    parser.add_argument("--py", required=True, metavar="COMMAND")
    parser.add_argument("--case", action="append", required=True, metavar="KIND TRANSPORT PLACE NAMESPACE NAMESPACE")
    return parser.parse_args()


async def main():
    options = arguments()
    cases = [Case(options, words) for words in options.case]
    everything = asyncio.ensure_future(asyncio.gather(*(case.run() for case in cases)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, everything.cancel)
    try:
        await everything
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    passed, failed = sum(case.passed for case in cases), sum(case.failed for case in cases)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    asyncio.run(main())
