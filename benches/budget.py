#!/usr/bin/env python3
"""Runs the micro-benchmarks of a request's path and puts what they say into docs/performance.md.

`budget.py FILE` reads the output of `cargo bench --bench path` from a file instead.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BEGIN, END = "<!-- measured by `make bench-path` -->", "<!-- end of the steps -->"

#: Benchmark, what it is called, and the benchmarks of which its floor is made, with how often each.
STEPS = [
    ("a_inbound", "one reading of the request (`Inbound::parse`)", {}),
    ("b_route", "route look-up", {}),
    ("c_limits_of_the_address", "limits on the address: two, and one on failures", {"keyed_hash_of_an_address_and_a_name": 3}),
    ("d_authenticate", "token that was seen before", {"sha256_of_the_token": 1}),
    ("e_limits_of_the_caller", "limit on the caller", {"keyed_hash_of_an_address_and_a_name": 1}),
    ("f_permit", "policy (`Permit`)", {}),
    ("g_outbound", "strip and stamp (`Outbound`)", {"five_header_fields": 1}),
    ("h_limits_in_the_answer", "`RateLimit` fields of the answer", {}),
    ("i_account", "log line and figures", {"both_clocks_once": 2, "copy_of_400_bytes": 1}),
]
OTHERS = [
    ("cookie_seen_before", "session cookie that was seen before", {"sha256_of_the_token": 1}),
    ("api_key_seen_before", "API key that was seen before", {}),
    ("token_first_seen_hs256", "first sight of a token, HS256", {}),
    ("token_first_seen_es256", "first sight of a token, ES256", {}),
    ("token_first_seen_rs256", "first sight of a token, RS256", {}),
    ("refusal_in_json", "a refusal with its JSON", {}),
    ("figures_alone", "figures alone", {}),
]
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}


def main():
    text = open(sys.argv[1]).read() if len(sys.argv) > 1 else run()
    found = parse(text)
    missing = [name for name, *_ in STEPS + OTHERS if name not in found]
    if missing:
        sys.exit(f"not measured: {', '.join(missing)}")
    path = os.path.join(ROOT, "docs", "performance.md")
    page = open(path).read()
    block = f"{BEGIN}\n\n{table(found)}\n{END}"
    page, count = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: block, page, flags=re.S)
    if count != 1:
        sys.exit(f"{path} has not exactly one place for the steps")
    open(path, "w").write(page)
    print(table(found))


def run():
    done = subprocess.run(["cargo", "bench", "--locked", "--bench", "path"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def parse(text):
    """Of each benchmark the median: nanoseconds, allocations, bytes."""
    found, name, rows = {}, None, None
    for line in text.splitlines():
        begun = re.search(r"[├╰]─ (\w+)\s+([\d.]+ [nµm]?s)\s+│[^│]*│\s*([\d.]+) ([nµm]?s)", line)
        if begun:
            name = begun[1]
            found[name] = [float(begun[3]) * UNITS[begun[4]], 0.0, 0.0]
        elif name and re.search(r"\b(alloc|grow):", line) and "max" not in line:
            rows = []      # an allocation that grows is one more call of the allocator
        elif rows is not None:
            cells = line.split("│")
            middle = re.search(r"([\d.]+)\s*([KMG]?i?B)?", cells[-4] if len(cells) >= 6 else "")
            if not middle:
                rows = None
                continue
            scale = {"B": 1, "KB": 1e3, "KiB": 1024, "MB": 1e6, "MiB": 1024**2}.get(middle[2] or "", 1)
            rows.append(float(middle[1]) * scale)
            found[name][len(rows)] += rows[-1]
            if len(rows) == 2:
                rows = None
    return found


def table(found):
    head = "| | ns | floor, ns | allocations | bytes |\n|---|---|---|---|---|\n"
    out, sums = head, [0.0, 0.0, 0.0]
    for name, title, floor in STEPS:
        out += row(title, found[name], least(found, floor))
        sums = [a + b for a, b in zip(sums, found[name], strict=True)]
    out += row("**together**", sums, "")
    out += "\nInstead of, or beside these:\n\n" + head
    for name, title, floor in OTHERS:
        out += row(title, found[name], least(found, floor))
    return out


def least(found, floor):
    return f"{sum(found[name][0] * times for name, times in floor.items()):.0f}" if floor else ""


def row(title, values, floor):
    time, count, size = values
    return f"| {title} | {time:,.0f} | {floor} | {count:g} | {size:,.0f} |\n"


main()
