"""Runs the conformance suite's server scenarios against one server directly and by other ways, and compares.

The server itself must pass every check. By each other way each check must come out as it did directly.
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

# What is run: the suite's major version, and what it is asked for.
RUNS = {
    "0.1.16 all": ("conformance-0.1", ["--suite", "all"]),
    "0.2 2025-11-25": ("conformance-0.2", ["--requirements", "2025-11-25"]),
    "0.2 2026-07-28": ("conformance-0.2", ["--requirements", "2026-07-28"]),
}
# The fewest checks that a run has: fewer, and something was not run at all.
FEWEST = {"0.1.16 all": 46, "0.2 2025-11-25": 83, "0.2 2026-07-28": 197}
LIMIT = 300


def run(modules, suite, arguments, url):
    """Each scenario's checks, as (id, status) with what was said of the failed ones."""
    program = Path(modules) / suite / "dist" / "index.js"
    with tempfile.TemporaryDirectory() as folder:
        command = ["node", program, "server", "--url", url, "-o", folder, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        scenarios = {}
        for file in sorted(Path(folder).glob("*/checks.json")):
            # server-NAME-2026-11-21T07-00-05-713Z
            name = file.parent.name.removeprefix("server-").rsplit("-", 5)[0]
            checks = json.loads(file.read_text())
            scenarios[name] = sorted((check["id"], check["status"], check.get("errorMessage") or "") for check in checks)
    if not scenarios:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return scenarios


def score(scenarios):
    counts = collections.Counter(status for checks in scenarios.values() for _, status, _ in checks)
    return ", ".join(f"{count} {status.lower()}" for status, count in sorted(counts.items()))


def failures(scenarios):
    return [
        f"{name} · {id}: {status}: {message[:300]}"
        for name, checks in scenarios.items()
        for id, status, message in checks
        if status in ("FAILURE", "WARNING")
    ]


def differences(direct, other):
    found = []
    for name in sorted(direct.keys() | other.keys()):
        expected = collections.Counter(check[:2] for check in direct.get(name, []))
        got = collections.Counter(check[:2] for check in other.get(name, []))
        said = {check[:2]: check[2] for check in other.get(name, [])}
        found += [f"{name} · {id}: not {status}" for id, status in (expected - got).elements()]
        found += [f"{name} · {id}: {status} {said[id, status][:300]}" for id, status in (got - expected).elements()]
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", required=True, help="node_modules with both suites")
    parser.add_argument("--direct", required=True, metavar="URL")
    parser.add_argument("--way", action="append", default=[], metavar="NAME=URL")
    return parser.parse_args()


def main():
    options = arguments()
    passed = failed = 0
    for title, (suite, wanted) in RUNS.items():
        direct = run(options.modules, suite, wanted, options.direct)
        wrong = failures(direct)
        count = sum(len(checks) for checks in direct.values())
        if count < FEWEST[title]:
            wrong.append(f"{count} checks, expected {FEWEST[title]}")
        for name, url in [("direct", None), *(way.split("=", 1) for way in options.way)]:
            scenarios = direct
            if url:
                scenarios = run(options.modules, suite, wanted, url)
                wrong = differences(direct, scenarios)
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"{'FAIL ' if wrong else 'ok   '} conformance {title} · {name}: {score(scenarios)}", flush=True)
            for line in wrong:
                print(f"        {line}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
