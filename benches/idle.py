#!/usr/bin/env python3
"""What idle connections cost the requests of others: processor time a request beside none and beside many.

    benches/idle.py target/release/portcullis [--idle 10000] [--reps 5] [--seconds 3]

Needs wrk. Prints one JSON line for each window and a summary. The limit on open files bounds how many there can be.
"""
import argparse, json, os, pathlib, resource, socket, ssl, statistics, subprocess, sys, tempfile, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from logins import WRK, Backend, Threads, config, free_port


def ran(pid):
    """Nanoseconds that all threads of the process have run."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def resident(pid):
    """Bytes of memory."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def connect(port, tls):
    return tls.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30), server_hostname="localhost")


def window(given, pid, port, folder):
    command = ["wrk", "-t1", "-c16", f"-d{given.seconds}s", "-s", f"{folder}/wrk.lua", f"https://127.0.0.1:{port}/app/x"]
    before = ran(pid)
    env = {**os.environ, "RATE": "1000000", "CONNS": "16"}
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    said = json.loads(said[said.index("JSON ") + 5:])
    assert said["bad"] == 0, said
    return (ran(pid) - before) / 1000 / said["requests"]


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("binary")
    parse.add_argument("--idle", type=int, default=10000)
    parse.add_argument("--reps", type=int, default=5)
    parse.add_argument("--seconds", type=int, default=3)
    given = parse.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    idle = min(given.idle, most - 200)
    binary = str(pathlib.Path(given.binary).resolve())
    backend = Threads(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        port, path = free_port(), pathlib.Path(folder)
        subprocess.run([binary, "cert", "dev", "--out", folder], check=True, capture_output=True)
        (path / "jwt.secret").write_bytes(os.urandom(24).hex().encode())
        text = config(port, backend.server_address[1]).replace("= 4096", "= 20000")
        (path / "portcullis.toml").write_text(text.replace("[tls]", "max_connections = 20000\nidle_timeout = \"10m\"\n[tls]"))
        (path / "wrk.lua").write_text(WRK)
        gateway = subprocess.Popen([binary, "run", "--config", "portcullis.toml"], cwd=folder,
                                   stdout=subprocess.DEVNULL, stderr=(path / "log").open("w"))
        try:
            measure(given, idle, gateway, port, path)
        finally:
            gateway.terminate()
            gateway.wait()


def measure(given, idle, gateway, port, path):
    tls = ssl.create_default_context(cafile=str(path / "ca.pem"))
    for _ in range(400):
        try:
            connect(port, tls).close()
            break
        except OSError:
            if gateway.poll() is not None:
                sys.exit((path / "log").read_text())
            time.sleep(0.05)
    window(given, gateway.pid, port, path)
    figures = {}
    for many in (0, idle):
        held, before = [], resident(gateway.pid)
        while len(held) < many:
            held.append(connect(port, tls))
            held[-1].sendall(b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n")
            held[-1].recv(4096)
        kept = (resident(gateway.pid) - before) / max(many, 1)
        figures[many] = [window(given, gateway.pid, port, path) for _ in range(given.reps)]
        row = {"idle": many, "us_per_request": [round(us, 1) for us in figures[many]]}
        if many:
            row["kb_per_connection"] = round(kept / 1000, 1)
        print(json.dumps(row), flush=True)
    none, many = (statistics.median(us) for us in figures.values())
    print(json.dumps({"idle": idle, "ratio": round(many / none, 3)}))


if __name__ == "__main__":
    main()
