"""One measurement: a target, started afresh, on one case."""

import json
import math
import os
import re
import signal
import subprocess
import time

import machine
from machine import Process
from target import UPSTREAM, Failed, Upstream

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 64
#: Of HTTP/2, with as many streams each that 64 requests are under way.
SESSIONS = 8
WARM = 0.7
IDLE = 1000
CLIENTS = {"OPENSSL_CONF": f"{HERE}/openssl.cnf"}


def run(target, tools, seconds):
    """What was measured, as a dictionary. Raises Failed when the target does not do its work."""
    load_cpus = machine.places(target.case.workers)[1]
    quiet()
    before = machine.calibrate(tools, target.cpus)
    upstream = Upstream(tools, load_cpus)
    redis = None
    try:
        if target.case.redis:
            redis = Process(["redis-server", "--port", str(target.case.redis), "--bind", "127.0.0.1", "--save", "",
                             "--appendonly", "no"], target.cpus)
            time.sleep(0.3)
        first = target.start()
        target.check()
        kind = {"memory": memory, "start": start, "calls": calls}.get(target.case.kind, under_load)
        result = kind(target, Load(target, tools, load_cpus), upstream, redis, seconds)
    finally:
        target.stop()
        upstream.stop()
        if redis:
            redis.stop()
    result["first_answer_ms"] = round(first, 1)
    result["calibration_ns"] = [before, machine.calibrate(tools, target.cpus)]
    return result


def quiet():
    """Gives others on this machine a moment to finish."""
    for _ in range(10):
        busy, _ = machine.busy_and_stolen()
        time.sleep(0.2)
        if machine.busy_and_stolen()[0] - busy < 0.03:
            return


class Load:
    """The clients of one case."""

    def __init__(self, target, tools, cpus):
        self.case, self.target, self.tools, self.cpus = target.case, target, tools, cpus
        self.roots = os.path.join(target.pki, "tls.crt")
        self.log = f"/dev/shm/portcullis-bench-{os.getpid()}"

    def start(self, seconds):
        seconds = math.ceil(seconds)
        case, url = self.case, f"https://127.0.0.1:{self.target.port}{self.case.path}"
        env, values = dict(CLIENTS), case.file(self.target.work)
        if case.kind == "handshakes":
            argv = [self.tools, "handshakes", str(self.target.port), self.roots, str(seconds), "16"]
        elif case.protocol == "h2":
            argv = ["h2load", "-t1", f"-c{SESSIONS}", f"-m{CONNECTIONS // SESSIONS}", f"-D{seconds}", f"--log-file={self.log}", url]
            if values:
                argv[1:1] = ["-H", f"{case.field.lower()}: {case.values(self.target.work)[0]}"]
        else:
            argv = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", f"{HERE}/wrk.lua", url]
            env |= {"FIELD": case.field, "VALUES": values or "", "RATE": str(case.rate), "CLIENTS": str(CONNECTIONS)}
        self.process = Process(argv, self.cpus, env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def finish(self, within):
        out = self.process.popen.communicate(timeout=within + 30)[0].decode()
        if self.case.kind == "handshakes":
            return {"broken": json.loads(out)["sock_errors"]}
        if self.case.protocol != "h2":
            return json.loads(re.search(r"^RESULT (.*)$", out, re.M)[1])
        rows = [line.split("\t") for line in machine.read(self.log).splitlines()]
        os.unlink(self.log)
        took = sorted(int(row[2]) for row in rows)
        return {"p50_us": took[len(took) // 2], "p99_us": took[len(took) * 99 // 100],
                "not_2xx": sum(not row[1].startswith("2") for row in rows), "broken": 0}


def under_load(target, load, upstream, redis, seconds):
    """Processor time of the proxy for each request that reached the backend, in a window within the load."""
    load.start(WARM + seconds + 0.2)
    others = [process for process in (load.process, upstream.process, redis) if process]
    try:
        time.sleep(WARM)
        first = sample(target, others, upstream)
        time.sleep(seconds)
        last = sample(target, others, upstream)
        result = load.finish(seconds)
    finally:
        load.process.stop()
    spent = {key: last[key] - first[key] for key in first if key != "others"}
    count, wall = spent["requests"], spent["at"]
    elsewhere = [b - a for a, b in zip(first["others"], last["others"], strict=True)]
    ours = spent["cpu"] + spent["deferred"]
    if count == 0 or result.get("not_2xx") or result.get("broken"):
        raise Failed(f"{target.name}: {count} requests, {result}")
    return {
        **{key: result[key] for key in ("p50_us", "p99_us") if key in result},
        "requests": count, "per_second": round(count / wall, 1), "cpu_us": round(ours / count * 1e6, 3),
        "proxy_busy": round(ours / wall, 3), "stolen": round(spent["stolen"] / wall, 3),
        "other_busy": round((spent["busy"] - ours - sum(elsewhere)) / wall, 3),
        **({"redis_cpu_us": round(elsewhere[-1] / count * 1e6, 3)} if redis else {}),
    }


def sample(target, others, upstream):
    busy, stolen = machine.busy_and_stolen()
    return {"at": time.monotonic(), "requests": upstream.count(), "cpu": target.process.cpu(),
            "deferred": machine.deferred(target.cpus), "busy": busy, "stolen": stolen,
            "others": [process.cpu() for process in others]}


def memory(target, load, _upstream, _redis, _seconds):
    """Resident memory when idle, and for each TLS connection that has had a request and is held open."""
    time.sleep(1)
    result = {"idle_kb": target.process.memory_kb()}
    for protocol in ("h1", "h2"):
        # What only a protocol's first connection brings along, such as code that is read in, is no connection's.
        one = held(target, load, protocol, 1)
        many = held(target, load, protocol, IDLE)
        result[f"{protocol}_connection_kb"] = round((many - one) / (IDLE - 1), 2)
        # The second protocol begins with memory that the first has left: a fresh start tells.
        target.stop()
        if protocol == "h1":
            target.start()
            time.sleep(1)
    return result


def held(target, load, protocol, count):
    """Resident memory while so many idle connections are open."""
    value = target.case.values(target.work)[0]
    argv = [load.tools, "hold", str(target.port), load.roots, protocol, str(count), value]
    client = Process(argv, load.cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if client.popen.stdout.readline() != b"held\n":
            raise Failed(f"{target.name}: idle connections: {client.popen.stderr.read().decode()[-300:]}")
        time.sleep(2)
        return target.process.memory_kb()
    finally:
        client.popen.stdin.close()
        client.stop()


def start(_target, _load, _upstream, _redis, _seconds):
    return {}


def calls(target, load, upstream, _redis, seconds):
    """System calls of a request, as strace counts them: from before the load until after it, the clients' connecting included."""
    out = os.path.join(target.run, "strace")
    pids = [part for pid in target.process.pids() for part in ("-p", str(pid))]
    tracer = Process(["strace", "-c", "-f", "-o", out, *pids], set(machine.CPUS))
    time.sleep(1)      # it has attached
    before = upstream.count()
    load.start(seconds)
    try:
        load.finish(seconds)
        count = upstream.count() - before
    finally:
        load.process.stop()
        tracer.popen.send_signal(signal.SIGINT)
        tracer.popen.wait(30)
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_0-9]+)$", machine.read(out), re.M)
    each = {name: round(int(times) / count, 3) for times, name in rows if name != "total"}
    return {"calls": {name: times for name, times in each.items() if times >= 0.005},
            "calls_total": round(sum(each.values()), 2)}
