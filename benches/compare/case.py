"""What is measured: the cases, and the credentials that their requests show."""

import dataclasses
import json
import os

from machine import read


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    title: str
    #: load | rate | handshakes | memory | start | calls
    kind: str = "load"
    algorithm: str = "hs256"
    protocol: str = "h1"
    path: str = "/small"
    #: bearer | cookie | key
    credential: str = "bearer"
    workers: int = 1
    #: port of the Redis that counts, or 0: in process
    redis: int = 0
    #: requests a second that are offered
    rate: int = 0
    #: The bound on the ratio, and what to: "haproxy", or a case of our own.
    bound: tuple = ()

    @property
    def field(self):
        return "Cookie" if self.credential == "cookie" else "Authorization"

    def file(self, work):
        """The values of `field`, one a line; None for a public route."""
        if self.algorithm == "public":
            return None
        if self.credential != "bearer":
            return os.path.join(work, "seed", f"{self.credential}.values")
        path = os.path.join(work, "pki", f"{self.algorithm}.values")
        if not os.path.exists(path):
            tokens = read(os.path.join(work, "pki", f"{self.algorithm}.tokens")).split()
            with open(path, "w") as file:
                file.write("".join(f"Bearer {token}\n" for token in tokens))
        return path

    def values(self, work):
        return read(self.file(work)).splitlines()

    def expected(self, work, number):
        """The identity headers that reach the upstream for the value `number`."""
        if self.credential != "bearer":
            return json.loads(read(os.path.join(work, "seed", f"{self.credential}.expected")))
        return {"X-User-Id": f"user-{number:06}", "X-User-Email": f"user{number:06}@example.test", "X-User-Role": "editor"}

    def wrong(self, work):
        """Requests that must be refused."""
        if self.credential != "bearer":
            good = self.values(work)[0]
            return {"nothing": {}, "a forged credential": {self.field: good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")}}
        bad = read(os.path.join(work, "pki", f"{self.algorithm}.bad")).split()
        kinds = ("a wrong signature", "an expired token", "another issuer", "another audience")
        return {"nothing": {}, **{kind: {"Authorization": f"Bearer {token}"} for kind, token in zip(kinds, bad, strict=True)}}


REDIS = 21902

CASES = [
    Case("h1-hs256", "HTTP/1.1, HS256, 1,000 tokens", bound=("haproxy", 0.66)),
    Case("h1-rs256", "HTTP/1.1, RS256, 1,000 tokens", algorithm="rs256", bound=("h1-hs256", 1.05)),
    Case("h1-es256", "HTTP/1.1, ES256, 1,000 tokens", algorithm="es256", bound=("h1-hs256", 1.05)),
    Case("h1-public", "HTTP/1.1, public route", algorithm="public", bound=("haproxy", 0.75)),
    Case("h2-hs256", "HTTP/2, HS256", protocol="h2", bound=("haproxy", 0.70)),
    Case("h1-16k", "HTTP/1.1, HS256, answers of 16 KiB", path="/16k", bound=("haproxy", 0.55)),
    Case("handshakes", "full handshake and one request, ECDSA P-256", kind="handshakes", algorithm="public", bound=("haproxy", 0.55)),
    Case("h1-3000", "HTTP/1.1, HS256, at 3,000 requests/s", kind="rate", rate=3000, bound=("haproxy", 0.65)),
    Case("h1-cookie", "HTTP/1.1, 1,000 session cookies", credential="cookie", bound=("h1-hs256", 1.1)),
    Case("h1-key", "HTTP/1.1, 1,000 API keys", credential="key", bound=("h1-hs256", 1.1)),
    Case("h1-redis", "HTTP/1.1, HS256, limits through Redis", redis=REDIS, bound=("h1-hs256", 1.15)),
    Case("two-workers", "HTTP/1.1, HS256, two workers", workers=2),
    Case("memory", "memory", kind="memory"),
    Case("start", "start to first answer", kind="start", algorithm="public"),
    Case("calls", "system calls of a request, HTTP/1.1, HS256", kind="calls"),
]

#: Only ours can do these.
OURS_ALONE = {"h1-cookie", "h1-key", "h1-redis"}
