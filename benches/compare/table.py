"""From raw results to the tables of docs/performance.md."""

import json
import os
import re
import statistics

from case import CASES
from machine import read

BEGIN, END = "<!-- measured by `make bench` -->", "<!-- end of what was measured -->"
OURS, BASE = "portcullis", "haproxy"
TITLES = {"portcullis": "Portcullis", "haproxy": "HAProxy", "envoy": "Envoy", "nginx": "nginx"}
#: A measurement is noisy when others were busy for so much of a processor, when the host took so much,
#: or when the round trip beside it took so much longer than in a quiet moment of the same session.
OTHERS, STOLEN, SLOWER = 0.10, 0.05, 1.15


class Results:
    """The measurements of one session."""

    def __init__(self, files):
        rows = [json.loads(line) for file in files for line in read(file).splitlines()]
        self.heads = [row for row in rows if "machine" in row]
        self.failed = [row for row in rows if "failed" in row]
        self.rows = [row for row in rows if "case" in row and "failed" not in row]
        trips = sorted(trip for row in self.rows if row["case"] != "memory" for trip in row["calibration_ns"])
        self.usual_trip = trips[len(trips) // 4] if trips else 0
        self.targets = [name for name in TITLES if any(row["target"] == name for row in self.rows)]

    def noisy(self, row):
        # That is the same in a moment that is not quiet.
        if row["case"] == "memory":
            return False
        return (row.get("other_busy", 0) > OTHERS or row.get("stolen", 0) > STOLEN
                or max(row["calibration_ns"]) > SLOWER * self.usual_trip)

    def of(self, case, target):
        """The quiet ones, when there are three; otherwise all, and that it is so."""
        rows = [row for row in self.rows if row["case"] == case and row["target"] == target]
        quiet = [row for row in rows if not self.noisy(row)]
        return (quiet, False) if len(quiet) >= min(3, len(rows)) else (rows, True)

    def median(self, case, target, key):
        rows, _ = self.of(case, target)
        values = [row[key] for row in rows if key in row]
        return statistics.median(values) if values else None

    def spread(self, case, target, key):
        rows, noisy = self.of(case, target)
        values = [row[key] for row in rows if key in row]
        return (min(values), max(values), len(values), noisy) if values else None


def write(files, root):
    """Puts the tables between the marks of docs/performance.md."""
    path = os.path.join(root, "docs", "performance.md")
    text, tables = read(path), render(Results(files))
    names = ", ".join(f"`benches/results/{os.path.basename(file)}`" for file in files)
    block = f"{BEGIN}\n\n{tables}\nRaw results: {names}.\n\n{END}"
    replaced, count = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: block, text, flags=re.S)
    if count != 1:
        raise SystemExit(f"{path} has not exactly one place for the tables")
    with open(path, "w") as file:
        file.write(replaced)
    print(tables)


def show(files):
    print(render(Results(files)))


def render(results):
    parts = [machine_line(results), processor(results), latency(results), memory(results), calls(results), redis(results)]
    if results.failed:
        parts.append("Failed: " + "; ".join(f"{row['case']} of {row['target']}" for row in results.failed) + ".\n")
    return "\n".join(part for part in parts if part)


def machine_line(results):
    lines = []
    for head in results.heads:
        machine, versions = head["machine"], dict(head["versions"])
        commit = versions.pop("commit")
        where = (f"{head['at']}, {machine['cpu']}, {machine['processors']} processors{' (virtual)' if machine['virtual'] else ''}, "
                 f"{machine['memory_gib']} GiB, Linux {machine['kernel']}; commit {commit}")
        lines.append(f"{where}. {'; '.join(shortened(name, text) for name, text in versions.items())}.\n")
    return "\n".join(lines)


def shortened(name, text):
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return f"{TITLES.get(name, name)} {found[0] if found else text}"


def heading(columns):
    return "| " + " | ".join(columns) + " |\n|" + "---|" * len(columns) + "\n"


def processor(results):
    """Processor time of a request, with the ratio of ours to what bounds it."""
    cases = [case for case in CASES if any(row["case"] == case.name and "cpu_us" in row for row in results.rows)]
    if not cases:
        return ""
    out = "Processor time of the proxy for a request in µs, user and system, median [least–most]:\n\n"
    out += heading(["", *(TITLES[target] for target in results.targets), "ratio", "at most"])
    for case in cases:
        cells = [case.title]
        for target in results.targets:
            spread = results.spread(case.name, target, "cpu_us")
            if spread is None:
                cells.append("–")
                continue
            least, most, count, noisy = spread
            median = results.median(case.name, target, "cpu_us")
            mark = " !" if noisy else ""
            cells.append(f"{median:.1f} [{least:.1f}–{most:.1f}]{mark}" if count > 1 else f"{median:.1f}{mark}")
        out += "| " + " | ".join(cells + list(ratio(results, case))) + " |\n"
    if any(results.of(case.name, target)[1] for case in cases for target in results.targets):
        out += "\n`!`: the machine was not quiet; fewer than three measurements were free of others' work.\n"
    return out


def ratio(results, case):
    ours = results.median(case.name, OURS, "cpu_us")
    to, bound = case.bound or (BASE, None)
    other = results.median(case.name, BASE, "cpu_us") if to == BASE else results.median(to, OURS, "cpu_us")
    of = "" if to == BASE else " × our HS256"
    found = f"{ours / other:.2f}{of}" if ours and other else "–"
    return found, f"{bound:.2f}" if bound else "–"


def latency(results):
    cases = [case for case in CASES if any(row["case"] == case.name and "p99_us" in row for row in results.rows)]
    if not cases:
        return ""
    out = "Requests a second and latency (ms: p50, p99) in the same measurements:\n\n"
    out += heading(["", *(TITLES[target] for target in results.targets)])
    for case in cases:
        cells = [case.title]
        for target in results.targets:
            numbers = [results.median(case.name, target, key) for key in ("per_second", "p50_us", "p99_us")]
            if None in numbers:
                cells.append("–")
            else:
                cells.append(f"{numbers[0]:,.0f}; {numbers[1] / 1000:.2f}, {numbers[2] / 1000:.2f}")
        out += "| " + " | ".join(cells) + " |\n"
    return out


def memory(results):
    rows = [("idle, MB", "memory", "idle_kb", 1024), ("per idle TLS connection, HTTP/1.1, kB", "memory", "h1_connection_kb", 1),
            ("per idle TLS connection, HTTP/2, kB", "memory", "h2_connection_kb", 1),
            ("start to first answer, ms", "start", "first_answer_ms", 1)]
    rows = [row for row in rows if any(results.median(row[1], target, row[2]) is not None for target in results.targets)]
    if not rows:
        return ""
    out = "Memory is what is resident (RSS), the program's text included:\n\n" + heading(["", *(TITLES[t] for t in results.targets)])
    for title, case, key, unit in rows:
        values = [results.median(case, target, key) for target in results.targets]
        out += f"| {title} | " + " | ".join("–" if value is None else f"{value / unit:.1f}" for value in values) + " |\n"
    return out


def calls(results):
    found = {target: results.of("calls", target)[0] for target in results.targets}
    found = {target: rows[-1] for target, rows in found.items() if rows}
    if not found:
        return ""
    out = "System calls of a request as strace counts them (which makes each dear, so that more of them do nothing):\n\n"
    out += heading(["", "together", "of them"])
    for target, row in found.items():
        each = ", ".join(f"{name} {calls:.2f}" for name, calls in row["calls"].items())
        out += f"| {TITLES[target]} | {row['calls_total']:.2f} | {each} |\n"
    return out


def redis(results):
    cpu = results.median("h1-redis", OURS, "redis_cpu_us")
    return "" if cpu is None else f"With limits in Redis, Redis itself took {cpu:.2f} µs of processor time a request.\n"
