"""The gateways that are compared: how each is configured, started, and seen to do its work."""

import http.client
import glob
import os
import re
import shutil
import socket
import ssl
import time
import tomllib

from machine import Process, places, read

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "peer")
UPSTREAM = 21901
ISSUER, AUDIENCE = "https://issuer.test/", "bench-api"
NGINX_SCRIPTS = "/usr/lib/nginx/modules/ngx_http_js_module.so"


class Failed(Exception):
    """A target that does not start, or does not do what is measured."""


class Target:
    """One gateway, configured for one case."""

    port = 21900
    #: What it can verify; "public" is a route without a caller.
    algorithms = ("public", "hs256", "rs256", "es256")

    def __init__(self, work, case):
        self.work, self.case = work, case
        self.run = os.path.join(work, "run", self.name)
        self.pki = os.path.join(work, "pki")
        self.cpus = places(case.workers)[0]
        self.process = None

    @classmethod
    def missing(cls):
        """What is not installed, or None."""
        return None if shutil.which(cls.program) else cls.program

    def variables(self):
        alg = self.case.algorithm
        return {"PORT": self.port, "UPSTREAM_PORT": UPSTREAM, "PKI": self.pki, "RUN": self.run, "WORKERS": self.case.workers,
                "ISS": ISSUER, "AUD": AUDIENCE, "ALG": alg.upper(), "alg": alg, "AUTH": self.auth(), **self.more()}

    def auth(self):
        return "" if self.case.algorithm == "public" else read(f"{HERE}/targets/{self.name}.jwt.inc")

    def more(self):
        return {}

    def fill(self, source, name):
        text, variables = read(source), self.variables()
        for _ in range(3):      # values have variables of their own
            text = re.sub(r"@([A-Za-z_]+)@", lambda m: str(variables.get(m[1], m[0])), text)
        path = os.path.join(self.run, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self):
        """Milliseconds from the start of the program to its first answer."""
        shutil.rmtree(self.run, ignore_errors=True)
        os.makedirs(self.run)
        argv = self.prepare()
        context = ssl.create_default_context(cafile=f"{self.pki}/tls.crt")
        log = os.path.join(self.run, "log")
        begun = time.monotonic()
        self.process = Process(argv, self.cpus, log=log)
        while True:
            try:
                self.get("/small", context=context)
                return (time.monotonic() - begun) * 1000
            except OSError:
                if self.process.popen.poll() is not None or time.monotonic() - begun > 20:
                    raise Failed(f"{self.name} does not start: {read(log)[-800:]}") from None
                time.sleep(0.0005)

    def stop(self):
        if self.process:
            self.process.stop()

    def get(self, path, fields=None, context=None):
        context = context or ssl.create_default_context(cafile=f"{self.pki}/tls.crt")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        try:
            connection.request("GET", path, headers=fields or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("latin-1")
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def check(self):
        """Raises Failed unless the work that is measured is really done."""
        if self.case.algorithm == "public":
            status, body = self.get("/echo", {"X-User-Id": "forged"})
            if status != 200 or "GET /echo" not in body:
                raise Failed(f"{self.name}: the public route answers {status}")
            return
        field, values = self.case.field, self.case.values(self.work)
        expected = self.case.expected(self.work, 7)
        status, body = self.get("/echo", {field: values[7], "X-User-Id": "forged", "X-User-Role": "admin"})
        seen = body.lower()
        for name, value in expected.items():
            line = f"\n{name.lower()}: {value}\r"
            if status != 200 or seen.count(line) != 1 or seen.count(f"\n{name.lower()}:") != 1:
                raise Failed(f"{self.name}: {status}, {name} is not {value} exactly once upstream:\n{body}")
        if "forged" in seen or "admin" in seen:
            raise Failed(f"{self.name}: the client's own identity header reached the upstream")
        for what, wrong in self.case.wrong(self.work).items():
            status, _ = self.get("/small", wrong)
            if status not in (401, 403):
                raise Failed(f"{self.name}: {what} is answered {status}")


class Portcullis(Target):
    name = "portcullis"
    program = None      # set to the release binary

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program or "") else "the release binary"

    def auth(self):
        return read(f"{PEER}/auth.{'floor' if self.case.algorithm == 'public' else 'jwt'}.inc")

    def more(self):
        spec = tomllib.loads(read(f"{PEER}/peer.toml"))["vars"]
        redis = f'[redis]\nurl = "redis://127.0.0.1:{self.case.redis}"' if self.case.redis else ""
        return {**spec, "WORKERS": self.case.workers, "REDIS": redis}

    def prepare(self):
        for file in glob.glob(os.path.join(self.work, "seed", "accounts.db*")):
            shutil.copy(file, self.run)
        return [self.program, "run", "--config", self.fill(f"{PEER}/gateway.toml", "gateway.toml")]


class Haproxy(Target):
    name = "haproxy"
    program = "haproxy"

    def more(self):
        alg = self.case.algorithm
        # The key of HS256 is the text itself, of the others a file.
        key = {"hs256": lambda: read(f"{self.pki}/hs256.secret")}.get(alg, lambda: f"{self.pki}/{alg}.pub")
        return {"KEY": key() if alg != "public" else ""}

    def prepare(self):
        return [self.program, "-db", "-f", self.fill(f"{HERE}/targets/haproxy.cfg", "haproxy.cfg")]


class Nginx(Target):
    name = "nginx"
    program = "nginx"
    algorithms = ("public", "hs256")

    @classmethod
    def missing(cls):
        if not shutil.which(cls.program):
            return cls.program
        return None if os.path.exists(NGINX_SCRIPTS) else "libnginx-mod-http-js"

    def more(self):
        if self.case.algorithm == "public":
            return {"MODULE": "", "SCRIPT": ""}
        script = ("    js_path @RUN@;\n    js_import jwt from jwt.js;\n    js_set $caller_id jwt.id;\n"
                  "    js_set $caller_email jwt.email;\n    js_set $caller_role jwt.role;\n    js_var $caller_claims;")
        return {"MODULE": f"load_module {NGINX_SCRIPTS};", "SCRIPT": script}

    def prepare(self):
        self.fill(f"{HERE}/targets/nginx.js", "jwt.js")
        return [self.program, "-c", self.fill(f"{HERE}/targets/nginx.conf", "nginx.conf"), "-p", self.run]


class Envoy(Target):
    name = "envoy"
    program = None      # found by setup

    @classmethod
    def find(cls, work):
        found = glob.glob(f"{work}/venv/lib/python*/site-packages/envoy/_bin/envoy")
        cls.program = os.environ.get("ENVOY") or (found[0] if found else shutil.which("envoy"))

    @classmethod
    def missing(cls):
        return None if cls.program else "envoy"

    def prepare(self):
        return [self.program, "-c", self.fill(f"{HERE}/targets/envoy.yaml", "envoy.yaml"),
                "--concurrency", str(self.case.workers), "--disable-hot-restart", "-l", "error"]


TARGETS = {target.name: target for target in (Portcullis, Haproxy, Envoy, Nginx)}


class Upstream:
    """The backend, and how many requests have reached it."""

    def __init__(self, tools, cpus):
        self.process = Process([tools, "upstream", str(UPSTREAM)], cpus)
        for _ in range(1000):
            try:
                self.control = socket.create_connection(("127.0.0.1", UPSTREAM), 5)
                return
            except OSError:
                time.sleep(0.005)
        raise Failed("the backend does not start")

    def count(self):
        self.control.sendall(b"GET /count HTTP/1.1\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.split(b"\r\n\r\n", 1)[1]:
            answer += self.control.recv(4096)
        return int(answer.split(b"\r\n\r\n", 1)[1])

    def stop(self):
        self.control.close()
        self.process.stop()
