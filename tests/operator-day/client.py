"""Clients of the gateway: one that asks, and one that never stops asking."""

import contextlib
import http.client
import json
import ssl
import threading

from machine import PATIENCE, Unexpected

HOST = "api.example.com"


class Answer:
    def __init__(self, response, connection):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        self.connection = connection

    @property
    def json(self):
        return json.loads(self.body)

    def expect(self, status):
        if self.status != status:
            raise Unexpected(f"{self.status} instead of {status}: {self.body.decode(errors='replace')}")
        return self


class Connection(http.client.HTTPSConnection):
    """To the machine's port 443, as if it were the public name."""

    def __init__(self, machine, authority, port=443):
        context = ssl.create_default_context(cafile=authority)
        super().__init__(HOST, context=context, timeout=PATIENCE)
        self.machine, self.at = machine, port

    def connect(self):
        self.sock = self._context.wrap_socket(self.machine.connect(self.at), server_hostname=HOST)

    def ask(self, method, path, body=None, token=None, headers=()):
        headers = dict(headers)
        if token:
            headers["authorization"] = f"Bearer {token}"
        if body is not None:
            headers["content-type"], body = "application/json", json.dumps(body)
        self.request(method, path, body=body, headers=headers)
        return Answer(self.getresponse(), self)

    def serial(self):
        """The serial number of the certificate that was shown."""
        if self.sock is None:
            self.connect()
        return self.sock.getpeercert()["serialNumber"]


class Client:
    """Asks on a new connection each time."""

    def __init__(self, machine, authority):
        self.machine, self.authority = machine, authority

    def connection(self):
        return Connection(self.machine, self.authority)

    def ask(self, method, path, body=None, token=None, headers=()):
        with contextlib.closing(self.connection()) as connection:
            return connection.ask(method, path, body, token, headers)

    def get(self, path, token=None, headers=()):
        return self.ask("GET", path, token=token, headers=headers)

    def post(self, path, body, token=None):
        return self.ask("POST", path, body=body, token=token)

    def login(self, email, password):
        return self.post("/auth/v1/login", {"email": email, "password": password}).expect(200).json

    def plain(self, port, path):
        """Over plain HTTP: the redirect, or the admin listener."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.sock = self.machine.connect(port)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"host": HOST})
            return Answer(connection.getresponse(), connection)

    def metric(self, name):
        """The sum of a metric over the labels that are not named: `name{label="value"}` or `name`."""
        text = self.plain(9090, "/metrics").expect(200).body.decode()
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name.removesuffix("}"))]
        return sum(float(value) for value in values)


class Steady(threading.Thread):
    """Asks without a pause, each time on a new connection or always on one, and notes what went wrong."""

    def __init__(self, client, path, token=None, one_connection=False):
        super().__init__(daemon=True)
        self.client, self.path, self.token, self.one_connection = client, path, token, one_connection
        self.answers, self.wrong = 0, []
        self.ending, self._moved = False, threading.Condition()

    def __enter__(self):
        self.start()
        self.answered(3)
        return self

    def __exit__(self, *_):
        self.ending = True
        self.join()

    def run(self):
        connection = self.client.connection()
        while not self.ending:
            error = None
            try:
                answer = connection.ask("GET", self.path, token=self.token)
                if answer.status != 200:
                    error = f"{answer.status} {answer.body[:200]}"
                elif self.one_connection and connection.sock is None:
                    error = "the connection was closed"
            except (OSError, http.client.HTTPException) as failed:
                error = repr(failed)
                connection.close()
            if not self.one_connection:
                connection.close()
            with self._moved:
                self.answers += error is None
                if error:
                    self.wrong.append(error)
                self._moved.notify_all()

    def answered(self, more):
        """Waits for so many answers from now on."""
        with self._moved:
            goal = self.answers + more
            if not self._moved.wait_for(lambda: self.answers >= goal, PATIENCE):
                raise Unexpected(f"no more answers after {self.answers}: {self.wrong[-3:]}")
