#!/usr/bin/env python3
"""Log-ins at full speed beside forwarded requests: how busy the hashing threads are, and what it does to p99.

    benches/logins.py target/release/portcullis [--reps 5] [--seconds 5] [--rate 1000] [--nice N]

Needs wrk. Prints one JSON line for each window and a summary. A hashing thread that is neither running nor
waiting for a processor had nothing to do although log-ins were waiting: that is what the gateway loses against
Argon2id alone on the same thread. `--nice` gives the hashing threads another priority than the program does.
"""
import argparse, http.client, http.server, json, os, pathlib, re, socketserver, ssl, statistics, subprocess, sys, tempfile
import threading, time

PASSWORD = "correct horse battery"
ACCOUNTS = 24  # log-ins that wait at a time: fewer than the queue holds


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write: no waiting for the other end

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "200")
        self.end_headers()
        self.wfile.write(b"x" * 200)

    def log_message(self, *_):
        pass


class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def free_port():
    with socketserver.TCPServer(("127.0.0.1", 0), None) as server:
        return server.server_address[1]


def config(port, backend):
    return f"""
[server]
https = ["127.0.0.1:{port}"]
max_connections_per_address = 4096
[tls]
certificates = [{{ cert = "localhost.pem", key = "localhost.key" }}]
[accounts]
database = "sqlite:accounts.db"
registration = "open"
profiles = ["native"]
[passwords]
threads = 1
[[tokens.key]]
id = "a"
algorithm = "HS256"
secret = {{ file = "jwt.secret" }}
[log]
access = {{ file = "access.log" }}
[[limit]]
name = "credential"
key = "client"
rate = "100000/s"
[lockout]
network = "1000000/min"
[[upstream]]
name = "app"
servers = ["http://127.0.0.1:{backend}"]
[[route]]
path = "/app/**"
upstream = "app"
auth = "none"
"""


def post(connection, path, body):
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def hashing(pid):
    """Nanoseconds that the hashing threads have run, and that they waited for a processor."""
    ran = waited = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("hasher"):
            run, wait, _ = (task / "schedstat").read_text().split()
            ran, waited = ran + int(run), waited + int(wait)
    return ran, waited


def forward(port, rate, seconds, script):
    """p50 and p99 in microseconds of requests at this rate."""
    env = {**os.environ, "RATE": str(rate), "CONNS": "16"}
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", script, f"https://127.0.0.1:{port}/app/x"]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    return json.loads(re.search(r"JSON (.*)", said)[1])


WRK = """
local mean = tonumber(os.getenv("CONNS")) / tonumber(os.getenv("RATE")) * 1000
function delay() return math.floor(math.random() * 2 * mean + 0.5) end
function done(s, l)
    print(string.format('JSON {"requests":%d,"p50":%d,"p99":%d,"bad":%d}', s.requests, l:percentile(50), l:percentile(99),
        s.errors.status + s.errors.connect + s.errors.read + s.errors.timeout))
end
"""


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("binary")
    parse.add_argument("--reps", type=int, default=5)
    parse.add_argument("--seconds", type=int, default=5)
    parse.add_argument("--rate", type=int, default=1000)
    parse.add_argument("--nice", type=int)
    given = parse.parse_args()
    binary = str(pathlib.Path(given.binary).resolve())
    backend = Threads(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        subprocess.run([binary, "cert", "dev", "--out", folder], check=True, capture_output=True)
        path = pathlib.Path(folder)
        (path / "jwt.secret").write_bytes(os.urandom(24).hex().encode())
        (path / "portcullis.toml").write_text(config(port, backend.server_address[1]))
        (path / "wrk.lua").write_text(WRK)
        gateway = subprocess.Popen([binary, "run", "--config", "portcullis.toml"], cwd=folder,
                                   stdout=subprocess.DEVNULL, stderr=(path / "log").open("w"))
        try:
            measure(given, gateway.pid, port, path)
        finally:
            gateway.terminate()
            gateway.wait()


def measure(given, pid, port, path):
    tls = ssl.create_default_context(cafile=str(path / "ca.pem"))
    tls.check_hostname = False

    def connect():
        for _ in range(400):
            try:
                connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
                connection.connect()
                return connection
            except OSError:
                time.sleep(0.05)
        sys.exit("the gateway did not start:\n" + (path / "log").read_text())

    first = connect()
    people = [{"email": f"user-{n}@example.com", "password": PASSWORD} for n in range(ACCOUNTS)]
    for person in people:
        status = post(first, "/auth/v1/register", person)
        assert status in (200, 201), status
    going, done, others = threading.Event(), [0], [0]
    ended = False

    def log_in(person):
        connection = connect()
        while not ended:
            if not going.wait(0.1):
                continue
            if post(connection, "/auth/v1/login", person) == 200:
                done[0] += 1
            else:
                others[0] += 1

    for person in people:
        threading.Thread(target=log_in, args=(person,), daemon=True).start()
    if given.nice is not None:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            if (task / "comm").read_text().startswith("hasher"):
                os.setpriority(os.PRIO_PROCESS, int(task.name), given.nice)
    rows = []
    for _ in range(given.reps):
        quiet = forward(port, given.rate, given.seconds, str(path / "wrk.lua"))
        going.set()
        time.sleep(1)
        before, (ran, waited), since = done[0], hashing(pid), time.monotonic()
        loud = forward(port, given.rate, given.seconds, str(path / "wrk.lua"))
        wall = time.monotonic() - since
        after = hashing(pid)
        logins = done[0] - before
        going.clear()
        time.sleep(1)
        ran, waited = (after[0] - ran) / 1e9, (after[1] - waited) / 1e9
        row = {
            "logins_per_s": round(logins / wall, 1),
            "hash_ms": round(1000 * ran / max(logins, 1), 2),
            "running": round(ran / wall, 3),
            "waiting_for_processor": round(waited / wall, 3),
            "of_raw": round(ran / max(wall - waited, 1e-9), 3),
            "p50_us": [quiet["p50"], loud["p50"]],
            "p99_us": [quiet["p99"], loud["p99"]],
            "bad": [quiet["bad"], loud["bad"], others[0]],
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    middle = lambda values: round(statistics.median(values), 3)
    print(json.dumps({
        "logins_per_s": middle(row["logins_per_s"] for row in rows),
        "of_raw": middle(row["of_raw"] for row in rows),
        "p99_ratio": middle(row["p99_us"][1] / row["p99_us"][0] for row in rows),
        "p50_ratio": middle(row["p50_us"][1] / row["p50_us"][0] for row in rows),
    }))


if __name__ == "__main__":
    main()
