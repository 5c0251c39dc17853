"""The day's people: the first administrator, a user, one who is locked out and one who has to go."""

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid

import manual
from installing import OPERATIONS
from machine import until

ACCOUNTS = "Accounts from the command line"
ANN = "ann@example.com"


def adds_an_administrator(day):
    """She makes the first administrator."""
    day.passwords["olga@example.com"] = "correct horse battery"
    command = manual.line(OPERATIONS, ACCOUNTS, "user add").replace(ANN, "olga@example.com").replace("Ann", "Olga")
    day.types(command, stdin="correct horse battery\n")
    listed = day.types(manual.line(OPERATIONS, ACCOUNTS, "user list")).out
    day.sees("she is listed as active", "olga@example.com" in listed, listed)
    day.tokens["olga"] = day.client.login("olga@example.com", "correct horse battery")["access_token"]
    told = day.client.get("/admin/numbers", day.tokens["olga"]).expect(200).json["headers"]
    day.sees("the backend knows her as an administrator", told["x-user-roles"] == "admin", told)


def somebody_registers(day):
    """A user registers, logs in and reaches the backend, by what the README says."""
    register, asks = manual.lines("README.md", "In front of a real backend", "curl")
    registered = json.loads(day.types(register.replace("curl", "curl -sS")).out)
    day.passwords[ANN] = "a long enough one"
    asked = day.types(asks.replace("curl", "curl -sS"), variables={"TOKEN": registered["access_token"]})
    told = json.loads(asked.out)["headers"]
    day.sees("the backend knows her", told["x-user-email"] == ANN and told["x-user-id"] == registered["user"]["id"], told)
    secret = day.machine.reads("/etc/credstore/gateway-secret").strip()
    day.sees("and the gateway, by the secret of the credential", told["x-gateway-secret"] == secret)
    day.tokens["ann"] = day.client.login(ANN, day.passwords[ANN])["access_token"]
    forged = {"X-User-Id": "olga", "x_user_roles": "admin"}
    told = day.client.get("/v1/threads", day.tokens["ann"], forged).expect(200).json["headers"]
    own = told["x-user-id"] == registered["user"]["id"] and "x_user_roles" not in told
    day.sees("what she forges does not reach it", own, told)
    day.client.get("/v1/threads").expect(401)
    day.client.get("/admin/numbers", day.tokens["ann"]).expect(403)
    day.client.get("/nowhere").expect(404)
    day.sees("strangers, members among administrators and unknown paths are refused", True)


def an_old_token_comes(day):
    """Somebody still has a token of the old backend."""
    claims = {"sub": "42", "email": "old@example.com", "exp": int(time.time()) + 600, "iat": int(time.time())}
    secret = day.machine.reads("/etc/credstore/jwt-secret").strip()
    told = day.client.get("/v1/threads", signed(secret, claims)).expect(200).json["headers"]
    day.sees("the credential's key verifies it", told["x-user-id"] == "42", told)
    day.client.get("/v1/threads", signed(secret[::-1], claims)).expect(401)
    day.sees("and no other key does", True)


def reads_the_logs(day):
    """She looks a request up in the logs."""
    answer = day.client.get("/v1/threads?secret=1", day.tokens["ann"], {"user-agent": f"probe-{uuid.uuid4()}"}).expect(200)
    told = answer.json["headers"]
    line = until("the access log's line", lambda: access_line(day, told["x-request-id"]))
    day.sees("the access log has its path, user and answer", (line["path"], line["user"], line["status"]) == (
        "/v1/threads", told["x-user-id"], 200), line)
    since = day.machine.cursor()
    day.client.post("/auth/v1/login", {"email": ANN, "password": "a wrong one"}).expect(401)
    entry = day.machine.journal(since, lambda entry: '"target":"audit"' in str(entry["MESSAGE"]))
    event = json.loads(entry["MESSAGE"])
    day.sees("the journal has the failed login as an audit event", "login" in json.dumps(event), event)
    everything = day.types("journalctl -u portcullis -o json --no-pager").out
    everything += day.machine.reads("/var/log/portcullis/access.log")
    secrets = [*day.passwords.values(), *day.tokens.values(), "a wrong one"]
    secrets += [day.machine.reads("/etc/credstore/gateway-secret").strip()]
    day.sees("no password, token or secret is in a log", not any(secret in everything for secret in secrets))


def scrapes_the_metrics(day):
    """She scrapes the metrics."""
    name = 'portcullis_requests_total{route="/v1/**",class="2xx"}'
    before = day.client.metric(name)
    for _ in range(5):
        day.client.get("/v1/threads", day.tokens["ann"]).expect(200)
    day.sees("five requests are five more", day.client.metric(name) == before + 5, day.client.metric(name))
    day.sees("nothing is degraded", day.client.metric("portcullis_degraded") == 0)
    day.sees("failed logins are among the rejections", day.client.metric('portcullis_rejections_total{reason="login_failed"}') >= 1)
    day.sees("no thread has panicked", day.client.metric("portcullis_panics_total") == 0)


def somebody_is_locked_out(day):
    """Somebody types wrong passwords until she is refused; another account is locked and unlocked."""
    day.client.post("/auth/v1/register", {"email": "bob@example.com", "password": "quite a long one"}).expect(201)
    wrong = {"email": "bob@example.com", "password": "not the one"}
    answers = [day.client.post("/auth/v1/login", wrong) for _ in range(12)]
    refused = answers[-1].expect(429)
    day.sees("after some 401 comes 429 with Retry-After", answers[0].status == 401 and int(refused.headers["retry-after"]) > 0)
    shown = day.types(manual.line(OPERATIONS, ACCOUNTS, "user show").replace(ANN, "bob@example.com")).out
    day.sees("his account is not locked", json.loads(shown)["user"]["status"] == "active", shown)
    day.client.login(ANN, day.passwords[ANN])
    day.sees("others from the same network log in", True)
    day.types(manual.line(OPERATIONS, ACCOUNTS, "user lock"))
    day.client.get("/v1/threads", day.tokens["ann"]).expect(401)
    day.client.post("/auth/v1/login", {"email": ANN, "password": day.passwords[ANN]}).expect(401)
    day.sees("whom she locks is out, and cannot log in", True)
    day.types(manual.line(OPERATIONS, ACCOUNTS, "user unlock"))
    day.tokens["ann"] = day.client.login(ANN, day.passwords[ANN])["access_token"]
    day.sees("and in again when she unlocks", True)


def somebody_has_to_go(day):
    """She disables an account whose owner has a stream open."""
    account = {"email": "eve@example.com", "password": "quite a long one"}
    token = day.client.post("/auth/v1/register", account).expect(201).json["access_token"]
    stream = day.client.connection()
    stream.request("GET", "/v1/events", headers={"authorization": f"Bearer {token}"})
    events = stream.getresponse()
    day.sees("the stream is on", events.readline() == b"data: on\n")
    ended = threading.Event()
    threading.Thread(target=lambda: (drain(events), ended.set()), daemon=True).start()
    day.types("portcullis user disable eve@example.com")
    day.client.get("/v1/threads", token).expect(401)
    day.sees("her token is refused at once", True)
    day.sees("her stream ends within five seconds", ended.wait(5))
    day.client.post("/auth/v1/login", account).expect(401)
    day.sees("she cannot log in", True)


def drain(answer):
    try:
        while answer.read1(65536):
            pass
    except (OSError, ValueError):
        pass


def access_line(day, request_id):
    lines = day.machine.reads("/var/log/portcullis/access.log").splitlines()
    found = [line for line in lines if request_id in line]
    return json.loads(found[0]) if found else None


def signed(secret, claims):
    """A JWT by HS256, as the old backend made it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    tag = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(tag).rstrip(b'=').decode()}"


CHAPTERS = [
    adds_an_administrator, somebody_registers, an_old_token_comes, reads_the_logs, scrapes_the_metrics,
    somebody_is_locked_out, somebody_has_to_go,
]
