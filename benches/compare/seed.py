"""A small database with what callers show beside tokens: 1,000 sessions of a browser and 1,000 API keys."""

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import urllib.parse

from case import Case
from target import Failed, Portcullis

COUNT = 1000
EMAIL, PASSWORD = "ann@example.test", "correct horse battery"
#: Hashes that cost nothing, and no limit on log-ins: a thousand of them come from one address.
CHEAP = """
[passwords]
memory = "64KiB"
passes = 1

[lockout]
network = "100000/s"
account = "100000/s"
device = "100000/s"
pair = "100000/s"

[[limit]]
name = "credential"
key = "client"
rate = "100000/s"
"""


class Seeding(Portcullis):
    """The gateway as it is measured, but that log-ins are cheap, and one account has all the sessions."""

    def prepare(self):
        argv = super().prepare()
        with open(argv[-1]) as file:
            config = file.read()
        config = config.replace("[accounts]\n", f"[accounts]\nmax_sessions_per_user = {COUNT}\n")
        with open(argv[-1], "w") as file:
            file.write(config + CHEAP)
        return argv


def make(work):
    folder = os.path.join(work, "seed")
    os.makedirs(folder, exist_ok=True)
    gateway = Seeding(work, Case("seed", "seed"))
    gateway.start()
    try:
        command(gateway, "user", "add", EMAIL, "--role", "member", stdin=PASSWORD + "\n")
        user = json.loads(command(gateway, "user", "show", EMAIL, "--json"))
        cookies = [log_in(gateway) for _ in range(COUNT)]
        keys = [make_key(gateway) for _ in range(COUNT)]
    finally:
        gateway.stop()
    for file in os.listdir(gateway.run):
        if file.startswith("accounts.db"):
            shutil.copy(os.path.join(gateway.run, file), folder)
    expected = {"X-User-Id": account_id(user), "X-User-Email": EMAIL}
    for name, values in (("cookie", cookies), ("key", keys)):
        write(folder, f"{name}.values", "".join(f"{value}\n" for value in values))
        write(folder, f"{name}.expected", json.dumps(expected))


def command(gateway, *words, stdin=""):
    argv = [gateway.program, words[0], "--config", os.path.join(gateway.run, "gateway.toml"), *words[1:]]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"portcullis {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def account_id(user):
    return re.search(r'"id":\s*"([^"]+)"', json.dumps(user))[1]


def log_in(gateway):
    context = ssl.create_default_context(cafile=f"{gateway.pki}/tls.crt")
    connection = http.client.HTTPSConnection("127.0.0.1", gateway.port, timeout=10, context=context)
    form = urllib.parse.urlencode({"username": EMAIL, "password": PASSWORD, "remember": "on", "return_to": "/"})
    origin = f"https://127.0.0.1:{gateway.port}"
    connection.request("POST", "/auth/login", form,
                       {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    for field in answer.headers.get_all("Set-Cookie", []):
        if field.startswith("__Host-portcullis-session="):
            return field.split(";")[0]
    raise Failed(f"no session: the log-in is answered {answer.status}")


def make_key(gateway):
    made = command(gateway, "api-key", "create", "--user", EMAIL, "--name", "bench", "--json")
    return "Bearer " + re.search(r"pck_[A-Za-z0-9_-]+", made)[0]


def write(folder, name, text):
    with open(os.path.join(folder, name), "w") as file:
        file.write(text)
