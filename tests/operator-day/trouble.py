"""The evening: what goes wrong on a machine, and what she does about it."""

import json

import manual
from client import Steady
from installing import OPERATIONS
from machine import until

LOGS, DATA = "/var/log/portcullis", "/var/lib/portcullis"
ANN = "ann@example.com"


def is_killed(day):
    """The gateway is killed."""
    account = {"email": "zoe@example.com", "password": "quite a long one"}
    before = day.machine.main_pid()
    with Steady(day.client, "/v1/threads", day.tokens["ann"]) as steady:
        day.client.post("/auth/v1/register", account).expect(201)
        day.types(f"kill -9 {before}")
        until("another process", lambda: day.machine.main_pid() not in (0, before))
        steady.answered(20)
    day.sees("systemd has started it again", restarts(day) == 1, restarts(day))
    day.sees("only the request under way was lost", len(steady.wrong) <= 1, steady.wrong)
    day.sees("no connection was refused", "Refused" not in str(steady.wrong), steady.wrong)
    day.client.login(*account.values())
    day.sees("what was answered 201 is there", True)


def hangs(day):
    """The gateway hangs, and the watchdog sees it (sooner than the unit says, so that the day ends)."""
    day.machine.writes("/etc/systemd/system/portcullis.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n")
    day.types("systemctl daemon-reload && systemctl restart portcullis")
    before, since = day.machine.main_pid(), day.machine.cursor()
    day.types(f"kill -STOP {before}")
    day.machine.journal(since, lambda entry: "Watchdog timeout" in str(entry["MESSAGE"]))
    until("another process", lambda: day.machine.main_pid() not in (0, before))
    day.client.get("/v1/threads", day.tokens["ann"]).expect(200)
    day.sees("systemd has started it again", True)
    day.types("rm /etc/systemd/system/portcullis.service.d/watchdog.conf")
    day.types("systemctl daemon-reload && systemctl restart portcullis")


def fills_the_disk_of_the_database(day):
    """The disk of the database is full."""
    session = day.client.login(ANN, day.passwords[ANN])
    account = {"email": "max@example.com", "password": "quite a long one"}
    since = day.machine.cursor()
    fills(day, DATA)
    refused = until("a registration that cannot be stored", lambda: stored_no_more(day))
    day.sees("it is 503 with Retry-After", int(refused.headers["retry-after"]) > 0, refused.headers)
    day.client.get("/v1/threads", session["access_token"]).expect(200)
    day.client.get("/ping").expect(200)
    day.sees("who is logged in goes on", True)
    entry = day.machine.journal(since, lambda entry: "changes cannot be stored" in str(entry["MESSAGE"]))
    day.sees("the journal says why", "full" in entry["MESSAGE"], entry["MESSAGE"])
    ready = day.client.plain(9090, "/readyz").expect(200).json
    day.sees("/readyz says degraded", ready["status"] == "degraded", ready)
    day.sees("and which part", "database" in json.dumps(ready["parts"]), ready)
    day.sees("so do the metrics", day.client.metric('portcullis_degraded{part="database"}') == 1)
    day.types(f"rm {DATA}/filler")
    until("a registration that is stored", lambda: day.client.post("/auth/v1/register", account).status == 201)
    until("/readyz says ready", lambda: day.client.plain(9090, "/readyz").json["status"] == "ready")
    day.client.post("/auth/v1/refresh", {"refresh_token": session["refresh_token"]}).expect(200)
    day.sees("with space all is well again, without a restart", True)


def fills_the_disk_of_the_logs(day):
    """The disk of the access log is full."""
    since, lost = day.machine.cursor(), 'portcullis_log_lines_dropped_total{log="access"}'
    fills(day, LOGS)
    with Steady(day.client, "/ping", one_connection=True) as steady:
        until("lost lines are counted", lambda: day.client.metric(lost) > 0)
        day.machine.journal(since, lambda entry: "the access log cannot be written" in str(entry["MESSAGE"]))
        steady.answered(100)
        day.types(f"rm {LOGS}/filler")
        day.machine.journal(since, lambda entry: "the access log can be written again" in str(entry["MESSAGE"]))
        steady.answered(20)
    day.sees("no request failed, and the lost lines are counted", not steady.wrong, steady.wrong)
    asked = day.client.get("/v1/threads", day.tokens["ann"]).expect(200).json["headers"]["x-request-id"]
    until("the next line is written", lambda: asked in day.machine.reads(f"{LOGS}/access.log"))
    text = day.machine.reads(f"{LOGS}/access.log")
    day.sees("the log says that lines were lost", '"dropped_lines":' in text, text[-300:])
    torn = [line for line in text.splitlines() if not whole(line)]
    day.sees("a line that was torn stands alone", len(torn) <= 1 and not any(line.endswith("}") for line in torn), torn)
    told = sum(json.loads(line)["dropped_lines"] for line in text.splitlines() if "dropped_lines" in line)
    day.sees("and says how many", told == day.client.metric(lost), (told, day.client.metric(lost)))


def loses_an_account(day):
    """She deletes the wrong account, and restores the backup."""
    day.types("mkdir -m 700 /backup")
    day.types(manual.line(OPERATIONS, "Backup", "sqlite3"))
    day.types(f"portcullis user delete {ANN}")
    day.client.post("/auth/v1/login", {"email": ANN, "password": day.passwords[ANN]}).expect(401)
    day.sees("Ann is gone", True)
    stops = manual.line(OPERATIONS, "Upgrade", "systemctl stop portcullis.socket")
    with Steady(day.client, "/ping") as steady:
        for command in manual.lines(OPERATIONS, "Backup", "accounts.db-wal"):
            if command == "systemctl stop portcullis":
                day.types(stops)
                refused = len(steady.wrong)
                until("refused connections", lambda: len(steady.wrong) > refused)
                day.sees("no connection starts it meanwhile", day.types("systemctl is-active portcullis", check=False).out == "inactive\n")
            else:
                day.types(command)
        steady.answered(10)
    sockets = day.types("systemctl is-active portcullis.socket portcullis-http.socket").out
    day.sees("the ports are systemd's again", sockets == "active\nactive\n", sockets)
    day.tokens["ann"] = day.client.login(ANN, day.passwords[ANN])["access_token"]
    day.client.get("/v1/threads", day.tokens["ann"]).expect(200)
    day.sees("and back", True)


def reboots(day):
    """The machine reboots."""
    print("   # systemctl reboot")
    day.machine.reboot()
    day.types("systemctl is-system-running --wait")
    boots = day.types("journalctl --list-boots -q | wc -l").out
    day.sees("the journal has two boots", boots == "2\n", boots)
    day.client.get("/v1/threads", day.tokens["ann"]).expect(200)
    day.client.login(ANN, day.passwords[ANN])
    ready = day.client.plain(9090, "/readyz").expect(200).json
    day.sees("the gateway is back, and its people with it", ready["status"] == "ready", ready)


def fills(day, folder):
    day.types(f"dd if=/dev/zero of={folder}/filler bs=1k status=none", check=False)
    free = day.types(f"df --output=avail {folder} | tail -n 1").out
    day.sees(f"{folder} is full", int(free) == 0, free)


def stored_no_more(day):
    """Registers until the database, which has some free pages still, refuses."""
    stored_no_more.number = getattr(stored_no_more, "number", 0) + 1
    account = {"email": f"full-{stored_no_more.number}@example.com", "password": "quite a long one"}
    answer = day.client.post("/auth/v1/register", account)
    return answer.expect(503) if answer.status != 201 else None


def whole(line):
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def restarts(day):
    return int(day.types("systemctl show portcullis -p NRestarts --value").out)


CHAPTERS = [is_killed, hangs, fills_the_disk_of_the_database, fills_the_disk_of_the_logs, loses_an_account, reboots]
