"""Runs the conformance suite's client scenarios against Peerage's own client: what the aggregated server and
`peerage call` use to reach a shared server. drive.py is the program that the suite starts.

Every scenario of the suite is either run here, and must pass, or stands below with the reason why it cannot apply.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = {
    "0.1.16 all": ("conformance-0.1", None),
    "0.2 2025-11-25": ("conformance-0.2", "2025-11-25"),
    "0.2 2026-07-28": ("conformance-0.2", "2026-07-28"),
}

# Scenarios that cannot apply, by the beginning of their name.
NOT_FOR_US = {
    "auth/": "who may use a server is between it and its user; the un-prefixed endpoint carries 401 and "
    "WWW-Authenticate to clients that can ask one, our own has no user to ask",
    "elicitation-sep1034-client-defaults": "our client declares no elicitation: there is nobody to ask",
    "sep-2322-client-request-state": "our client declares nothing that a server may ask for, so it never repeats a "
    "request with input; it refuses such results",
    "sep-2640-": "skills are files that a host loads; our client lists and calls tools",
}
# Scenarios that a client can lose by chance: the server of this one gives the answer to whatever GET comes next, and a
# client opens its session's own stream beside its first call. It cannot be won by chance.
BY_CHANCE = {"sse-retry": 5}
LIMIT = 60


def scenarios(modules, suite, version):
    if version is None:
        listed = subprocess.run(
            ["node", Path(modules) / suite / "dist" / "index.js", "list"], capture_output=True, text=True, check=True
        ).stdout
        client = listed.partition("Client scenarios")[2].partition("Authorization server")[0]
        return re.findall(r"^\s+- (\S+)", client, re.MULTILINE)
    required = (Path(modules) / suite / "requirements" / f"{version}.yaml").read_text()
    client = re.search(r"^client:\n((?:\s+- .*\n)+)", required, re.MULTILINE)[1]
    return re.findall(r"- (\S+)", client)


def reason(scenario):
    return next((why for name, why in NOT_FOR_US.items() if scenario.startswith(name)), None)


def run(modules, suite, version, scenario):
    """The checks, as the suite keeps them."""
    driver = f"{sys.executable} {Path(__file__).with_name('drive.py')}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["node", Path(modules) / suite / "dist" / "index.js", "client", "--command", driver]
        command += ["--scenario", scenario, "-o", folder]
        if version == "2026-07-28":
            command += ["--spec-version", version]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        files = list(Path(folder).rglob("checks.json"))
        return json.loads(files[0].read_text()) if files else []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", required=True, help="node_modules with both suites")
    parser.add_argument("--peerage", required=True)
    parser.add_argument("--sharer", required=True, help="home of the node that shares")
    parser.add_argument("--caller", required=True, help="home of the node that calls")
    options = parser.parse_args()
    os.environ.update(PEERAGE=options.peerage, SHARER_HOME=options.sharer, CALLER_HOME=options.caller)
    passed = failed = 0
    for title, (suite, version) in RUNS.items():
        skipped = []
        for scenario in scenarios(options.modules, suite, version):
            if reason(scenario):
                skipped.append(scenario)
                continue
            for _ in range(BY_CHANCE.get(scenario, 1)):
                checks = run(options.modules, suite, version, scenario)
                good = [check for check in checks if check["status"] == "SUCCESS"]
                bad = [check for check in checks if check["status"] in ("FAILURE", "WARNING")]
                fine = bool(good) and not bad
                if fine:
                    break
            passed, failed = passed + fine, failed + (not fine)
            print(f"{'ok   ' if fine else 'FAIL '} client {title} · {scenario}: {len(good)} of {len(good) + len(bad)}")
            for check in bad:
                print(f"        {check['id']}: {check['status']}: {(check.get('errorMessage') or '')[:300]}")
            sys.stdout.flush()
        print(f"      client {title}: {len(skipped)} cannot apply: {' '.join(skipped)}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
