"""The afternoon: configuration, certificate, keys, logs and the program itself change while clients go on asking."""

import base64
import re
import shutil

import manual
from client import Steady
from installing import CONFIG, OPERATIONS, checks, receives_certificate
from machine import until

CHANGING = "Changing the configuration"
NEW_ROUTE = '[[route]]\npath = "/v2/**"\nupstream = "agents"\n\n[[route]]\npath = "/admin/**"'
RELOAD = manual.line(OPERATIONS, CHANGING, "check").split(" && ")[1]


def makes_mistakes(day):
    """She makes two mistakes in the configuration and reloads it."""
    day.edits(CONFIG, 'rate = "600/min"', 'rate = "600 a minute"')
    day.edits(CONFIG, 'authorization = "forward"', 'authorisation = "forward"')
    checked = checks(day, check=False)
    line = 1 + day.machine.reads(CONFIG).splitlines().index('authorisation = "forward"')
    day.sees("the check names both places, with their lines", all(text in checked.err for text in (
        f"{CONFIG}:{line}:1", "did you mean `authorization`", "limit[0].rate", '"60/min"', "2 errors")), checked.err)
    failed, since = day.client.metric('portcullis_reloads_total{outcome="failed"}'), day.machine.cursor()
    with Steady(day.client, "/v1/threads", day.tokens["ann"], one_connection=True) as steady:
        reloaded = day.types(RELOAD, check=False)
        day.sees("the reload fails", reloaded.code != 0 and "failed" in reloaded.err, reloaded.err)
        entry = day.machine.journal(since, lambda entry: "the configuration was not changed" in str(entry["MESSAGE"]))
        day.sees("the journal says why", f"{CONFIG}:{line}:1" in entry["MESSAGE"], entry["MESSAGE"])
        steady.answered(20)
    day.sees("the old configuration goes on, on the same connection", not steady.wrong, steady.wrong)
    until("one more failed reload", lambda: day.client.metric('portcullis_reloads_total{outcome="failed"}') == failed + 1)
    day.sees("the metrics count it", True)
    status = day.types("systemctl status --no-pager portcullis").out
    day.sees("systemctl status says it", "the last reload was refused" in status and "active (running)" in status, status)


def corrects_them(day):
    """She corrects them, and adds a route."""
    day.edits(CONFIG, 'rate = "600 a minute"', 'rate = "60000/min"')
    day.edits(CONFIG, "burst = 100\n", "burst = 60000\n")
    day.edits(CONFIG, "authorisation", "authorization")
    day.edits(CONFIG, '[[route]]\npath = "/admin/**"', NEW_ROUTE)
    day.client.get("/v2/threads", day.tokens["ann"]).expect(404)
    checks(day)
    with Steady(day.client, "/v1/threads", day.tokens["ann"], one_connection=True) as steady:
        day.types(RELOAD)
        until("the new route", lambda: day.client.get("/v2/threads", day.tokens["ann"]).status == 200)
        steady.answered(20)
    day.sees("the new route is there, the old connection too", not steady.wrong, steady.wrong)
    status = day.types("systemctl status --no-pager portcullis").out
    day.sees("systemctl status is content", 'Status: "serving"' in status, status)


def changes_what_waits(day):
    """She changes a key that waits for a restart."""
    since = day.machine.cursor()
    day.edits(CONFIG, 'admin = "127.0.0.1:9090"', 'admin = "127.0.0.1:9091"')
    day.types(RELOAD)
    entry = day.machine.journal(since, lambda entry: "wait for a restart" in str(entry["MESSAGE"]))
    day.sees("the journal names it", '"keys":"server.admin"' in entry["MESSAGE"], entry["MESSAGE"])
    day.client.plain(9090, "/healthz").expect(200)
    day.edits(CONFIG, 'admin = "127.0.0.1:9091"', 'admin = "127.0.0.1:9090"')
    day.types(RELOAD)


def renews_the_certificate(day):
    """The certificate is renewed while clients go on asking."""
    before = day.client.connection().serial()
    with Steady(day.client, "/v1/threads", day.tokens["ann"], one_connection=True) as steady, Steady(day.client, "/ping") as anew:
        renewed = receives_certificate(day)
        day.types(RELOAD)
        until("the new certificate", lambda: day.client.connection().serial() == renewed)
        steady.answered(20)
        anew.answered(20)
    day.sees("new connections are shown the new one", renewed != before)
    day.sees("no connection was dropped, no request failed", not steady.wrong and not anew.wrong, steady.wrong + anew.wrong)
    day.types("chown root: /etc/portcullis/site.key")
    as_root = checks(day, check=False).code
    refused = day.types(RELOAD, check=False)
    said = day.types("journalctl -u portcullis -o cat -n 20").out
    day.sees("a key that only root can read passes root's check, and fails the reload", (
        as_root == 0 and refused.code != 0 and "site.key: Permission denied" in said), said)
    day.types("chown portcullis: /etc/portcullis/site.key")
    day.types(RELOAD)


def rotates_the_signing_key(day):
    """She rotates the signing key, as the sample's comment says."""
    for command in ("key generate", "chown portcullis: /etc/portcullis/token.key"):
        day.types(manual.commented("config/portcullis.toml", command).replace("token.key", "token-2.key"))
    old = re.search(r'\[\[tokens\.key\]\]\nid = "2026-11"\n(\w+ = .*\n)+', day.machine.reads(CONFIG))[0]
    new = old.replace("2026-11", "2026-12").replace("token.key", "token-2.key")
    verifies = new.replace('"sign"', '"verify"')
    day.edits(CONFIG, old, f"{old}\n{verifies}")
    before = day.tokens["ann"]
    day.types(RELOAD)
    until("both keys are published", lambda: key_ids(day) == {"2026-11", "2026-12"})
    day.edits(CONFIG, f"{old}\n{verifies}", old.replace('"sign"', '"verify"') + f"\n{new}")
    day.types(RELOAD)
    day.tokens["ann"] = until("a login is signed by the new key", lambda: of_key(day, "2026-12"))
    day.client.get("/v1/threads", before).expect(200)
    day.sees("what the old one signed is good still", True)
    day.edits(CONFIG, old.replace('"sign"', '"verify"') + f"\n{new}", new)
    day.types(RELOAD)
    until("the old key is gone", lambda: key_ids(day) == {"2026-12"})
    day.client.get("/v1/threads", before).expect(401)
    day.client.get("/v1/threads", day.tokens["ann"]).expect(200)
    day.sees("and no more when it was taken away; nobody else was logged out", True)


def key_ids(day):
    return {key["kid"] for key in day.client.get("/.well-known/jwks.json").expect(200).json["keys"]}


def of_key(day, key):
    token = day.client.login("ann@example.com", day.passwords["ann@example.com"])["access_token"]
    return token if key in base64.urlsafe_b64decode(token.split(".")[0] + "==").decode() else None


def rotates_the_logs(day):
    """logrotate renames the access log."""
    day.machine.writes("/etc/logrotate.d/portcullis", manual.block(OPERATIONS, CHANGING, "postrotate"))
    day.client.get("/ping?before").expect(200)
    with Steady(day.client, "/ping") as steady:
        ran = day.types("logrotate --force /etc/logrotate.d/portcullis")
        steady.answered(20)
        day.sees("logrotate has nothing to say", ran.said == "", ran.said)
    day.sees("no request failed", not steady.wrong, steady.wrong)
    asked = day.client.get("/v1/threads", day.tokens["ann"]).expect(200).json["headers"]["x-request-id"]
    until("its line is in the new file", lambda: asked in day.machine.reads("/var/log/portcullis/access.log"))
    old = day.machine.reads("/var/log/portcullis/access.log.1")
    day.sees("new lines are in the new file, old ones in the old", asked not in old)


def upgrades(day):
    """She upgrades the binary, with a restart."""
    arrives(day, b"second")
    session = day.client.login("ann@example.com", day.passwords["ann@example.com"])
    before = day.machine.main_pid()
    installs_what_arrived(day)
    day.sees("another process runs the new binary", day.machine.main_pid() != before and runs_what_is_installed(day))
    day.client.get("/v1/threads", session["access_token"]).expect(200)
    again = day.client.post("/auth/v1/refresh", {"refresh_token": session["refresh_token"]}).expect(200).json
    day.client.get("/v1/threads", again["access_token"]).expect(200)
    day.sees("nobody is logged out", True)


def hands_the_ports_to_systemd(day):
    """She hands the ports to systemd, and upgrades again without a refused connection."""
    day.edits(CONFIG, 'https = ["0.0.0.0:443"]', 'https = ["systemd:https"]')
    day.edits(CONFIG, 'http = ["0.0.0.0:80"]', 'http = ["systemd:http"]')
    for command in manual.lines(OPERATIONS, "Upgrade", "portcullis-http.socket /etc"):
        day.types(command)
    arrives(day, b"third")
    steady = Steady(day.client, "/v1/threads", day.tokens["ann"])
    public = Steady(day.client, "/ping")
    with steady, public:
        installs_what_arrived(day)
        day.sees("the new binary runs", runs_what_is_installed(day))
        steady.answered(20)
        public.answered(20)
    wrong = steady.wrong + public.wrong
    day.sees(f"{steady.answers + public.answers} connections, none refused, no request lost", not wrong, wrong)
    day.sees("port 80 leads to https", day.client.plain(80, "/ping").status in (301, 308))


def arrives(day, name):
    """A new version, as far as its bytes tell: what is appended to a program is not loaded."""
    there = f"{day.machine.root}/opt/portcullis/portcullis"
    shutil.copy(day.binary, there)
    with open(there, "ab") as file:
        file.write(name)


def installs_what_arrived(day):
    for command in manual.lines(OPERATIONS, "Upgrade", "./portcullis"):
        day.types(command, variables={"CREDENTIALS_DIRECTORY": "/run/credentials/portcullis.service"})


def runs_what_is_installed(day):
    sums = day.types(f"sha256sum < portcullis; sha256sum < /proc/{day.machine.main_pid()}/exe").out.split("\n")
    return sums[0] == sums[1]


CHAPTERS = [
    makes_mistakes, corrects_them, changes_what_waits, renews_the_certificate, rotates_the_signing_key, rotates_the_logs,
    upgrades, hands_the_ports_to_systemd,
]
