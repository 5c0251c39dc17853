#!/usr/bin/env python3
"""Compares Portcullis with HAProxy, Envoy and nginx on this machine, and writes what was measured.

Everything is measured in turn (first case: A B C, second case: A B C, and again), so that a slow moment of
the machine meets all. Raw results go to benches/results/*.jsonl, one line a measurement; the table goes into
docs/performance.md. `make bench` installs and builds what is needed first.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import machine
import measure
import seed
import table
from case import CASES, OURS_ALONE
from target import TARGETS, Envoy, Failed, Portcullis

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    a = arguments()
    if a.table:
        return table.write(a.table, ROOT)
    Portcullis.program, tools = a.binary, a.tools
    Envoy.find(a.work)
    cases = chosen(a.cases, {case.name: case for case in CASES}, "case")
    targets = present(chosen(a.targets, TARGETS, "target"))
    prepare(a.work, tools)
    os.makedirs(f"{ROOT}/benches/results", exist_ok=True)
    path = a.out or f"{ROOT}/benches/results/{time.strftime('%Y-%m-%d-%H%M')}.jsonl"
    with open(path, "a") as out:
        say(out, {"machine": machine.description(), "versions": versions(targets), "at": time.strftime("%Y-%m-%d %H:%M")})
        for repetition in range(a.reps):
            for case in cases:
                for target in targets:
                    if case.name in OURS_ALONE and target is not Portcullis or case.algorithm not in target.algorithms:
                        continue
                    row = {"case": case.name, "target": target.name, "repetition": repetition}
                    try:
                        row |= measure.run(target(a.work, case), tools, a.seconds)
                    except Failed as failed:
                        row["failed"] = str(failed)
                        print(f"FAILED {case.name} {target.name}: {failed}", file=sys.stderr)
                    say(out, row)
    return table.write([path], ROOT) if a.write else table.show([path])


def arguments():
    default = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cases", help="names with commas; without: all of " + ",".join(case.name for case in CASES))
    p.add_argument("--targets", help="names with commas; without: all of " + ",".join(TARGETS))
    p.add_argument("--reps", type=int, default=5)
    p.add_argument("--seconds", type=float, default=3, help="of each measurement")
    p.add_argument("--binary", default=f"{default}/release/portcullis")
    p.add_argument("--tools", default=f"{default}/release/examples/bench-tools")
    p.add_argument("--work", default=f"{default}/compare", help="folder for keys, configurations and logs")
    p.add_argument("--out", help="file for the raw results")
    p.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    p.add_argument("--table", nargs="+", metavar="FILE", help="measure nothing: put the table of these raw results there")
    return p.parse_args()


def chosen(names, known, what):
    if not names:
        return list(known.values())
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        sys.exit(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def present(targets):
    """Without what is not installed, which is said; ours and the load generators must be there."""
    needed = [name for name in ("wrk", "h2load", "strace", "redis-server") if not installed(name)]
    if Portcullis.missing():
        needed.append(f"{Portcullis.program} (cargo build --release)")
    if needed:
        sys.exit(f"missing: {', '.join(needed)}. `make bench` installs and builds what is needed, where there is a network.")
    for target in targets:
        if target.missing():
            print(f"WITHOUT {target.name}: {target.missing()} is not installed (benches/compare/setup installs it)", file=sys.stderr)
    return [target for target in targets if not target.missing()]


def installed(name):
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in (*os.environ["PATH"].split(":"), "/usr/sbin"))


def prepare(work, tools):
    """Keys, tokens, sessions and API keys: made once, and again when they are older than the tokens live."""
    made = f"{work}/pki/es256.bad"
    if not os.path.exists(made) or time.time() - os.path.getmtime(made) > 6 * 24 * 3600:
        subprocess.run(["rm", "-rf", f"{work}/pki", f"{work}/seed"], check=True)
        subprocess.run([tools, "material", f"{work}/pki"], check=True)
    if not os.path.exists(f"{work}/seed/key.expected"):
        seed.make(work)


def versions(targets):
    ask = {"haproxy": ["haproxy", "-v"], "nginx": ["nginx", "-v"], "envoy": [Envoy.program or "envoy", "--version"],
           "portcullis": [Portcullis.program, "--version"]}
    found = {target.name: first_line(ask[target.name]) for target in targets}
    commit = first_line(["git", "-C", ROOT, "describe", "--always", "--dirty"])
    return {**found, "commit": commit, "wrk": first_line(["wrk", "-v"]), "h2load": first_line(["h2load", "--version"])}


def first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError:
        return "?"
    said = next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "?")
    # Some name themselves by where they stand.
    return said.removeprefix(os.path.dirname(argv[0])).lstrip("/")


def say(out, row):
    line = json.dumps(row)
    out.write(line + "\n")
    out.flush()
    print(line, flush=True)


main()
