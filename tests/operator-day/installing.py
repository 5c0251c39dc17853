"""The morning: from the unpacked release to a gateway that serves under its sandbox."""

import datetime
import os
import re
import shutil
import subprocess

import manual
from machine import until

OPERATIONS = "docs/operations.md"
CONFIG = "/etc/portcullis/portcullis.toml"
LOADED = "CREDENTIALS_DIRECTORY=/run/credentials/portcullis.service"


def installs(day):
    """She installs the binary, the user, the unit and the sample configuration."""
    for command in manual.lines(OPERATIONS, "Under systemd", "portcullis.sysusers"):
        day.types(command)
    modes = "/usr/local/bin/portcullis /etc/systemd/system/portcullis.service /etc/portcullis /etc/portcullis/portcullis.toml"
    owned = day.types(f"stat -c '%U %a' {modes}").out.split()
    day.sees("binary, unit and configuration belong to root", owned == "root 755 root 644 root 755 root 644".split(), owned)
    documented = day.types("systemctl show -P Documentation portcullis").out.strip()
    day.types(f"test -s {documented.removeprefix('file:')}")
    day.sees("the documentation that the unit names is there", documented.startswith("file:"), documented)
    user = day.types("getent passwd portcullis").out.strip()
    day.sees("the user has no shell", user.endswith(":/var/lib/portcullis:/usr/sbin/nologin"), user)


def forgets_something(day):
    """She checks too early, and is told what is missing where."""
    checked = day.types(manual.line(OPERATIONS, "Changing the configuration", "check").split(" && ")[0], check=False)
    day.sees("the exit code is 78", checked.code == 78, checked.code)
    day.sees("the certificate is missing", "cannot read /etc/portcullis/site.pem: No such file" in checked.err, checked.err)
    started = day.types(manual.line(OPERATIONS, "Under systemd", "enable --now"), check=False)
    day.sees("so it does not start either", started.code != 0)
    said = day.types("journalctl -u portcullis -o cat").out
    day.sees("and the journal says the same", "/etc/portcullis/site.pem" in said, said)
    state = day.types("systemctl show portcullis -p Result,NRestarts,ExecMainStatus").out.split()
    day.sees("nothing tries again what stays wrong", {"NRestarts=0", "ExecMainStatus=78"} <= set(state), state)


def configures(day):
    """She puts certificate and secrets in place, and has the sample's optional parts."""
    makes_authority(day)
    day.machine.writes("/etc/hosts", "127.0.0.1 localhost api.example.com\n")
    receives_certificate(day)
    secret = manual.line(OPERATIONS, "Under systemd", "gateway-secret")
    day.types(manual.line(OPERATIONS, "Under systemd", "install -d -m 700"))
    day.types(secret)
    day.types(secret.replace("gateway-secret", "jwt-secret"))
    sample = day.machine.reads(CONFIG)
    header = re.search(r"# \[headers\]\n# secret = .*\n", sample)[0]
    day.edits(CONFIG, header, uncommented(header))
    old = re.search(r"# \[\[tokens\.key\]\]\n(# \w+ = .*\n)+", sample)[0]
    day.edits(CONFIG, old, re.sub(r"(?<=not_after = ).*", in_a_month(), uncommented(old)))
    day.sees("the check is content", checks(day, "CREDENTIALS_DIRECTORY=/etc/credstore").out == f"{CONFIG}: good\n")


def starts(day):
    """She starts it."""
    backend(day)
    since = day.machine.cursor()
    day.types(manual.line(OPERATIONS, "Under systemd", "enable --now"))
    state = day.types("systemctl is-active portcullis; systemctl is-enabled portcullis").out
    day.sees("it is active and enabled", state == "active\nenabled\n", state)
    entry = day.machine.journal(since, lambda entry: '"serving"' in str(entry["MESSAGE"]))
    day.sees("the journal names it", entry["SYSLOG_IDENTIFIER"] == "portcullis", entry["SYSLOG_IDENTIFIER"])
    files = "/var/lib/portcullis /var/lib/portcullis/accounts.db /var/log/portcullis /run/portcullis /run/portcullis/admin.sock"
    modes = day.types(f"stat -c '%U %a' {files}").out.split("\n")[:-1]
    wanted = ["700", "600", "750", "755", "600"]
    day.sees("what it writes is its own, and nobody else's to read", modes == [f"portcullis {mode}" for mode in wanted], modes)
    day.client.plain(9090, "/healthz").expect(200)
    ready = day.client.plain(9090, "/readyz").expect(200).json
    day.sees("/readyz says ready", ready["status"] == "ready", ready)
    day.client.get("/ping").expect(200)
    redirect = day.client.plain(80, "/ping")
    day.sees("port 80 leads to https", redirect.headers["location"] == "https://api.example.com/ping", redirect.status)


def is_contained(day):
    """She looks at the sandbox; for the rest of the day, a system call that its filter refuses kills the gateway."""
    day.machine.writes("/etc/systemd/system/portcullis.service.d/strict.conf", "[Service]\nSystemCallErrorNumber=kill\n")
    day.types("systemctl daemon-reload && systemctl restart portcullis")
    exposure = day.types("systemd-analyze security --no-pager portcullis | tail -n 1").out
    day.sees("systemd-analyze calls it OK, at 1.5 or less", float(re.search(r"(\d+\.\d) OK", exposure)[1]) <= 1.5, exposure)
    pid = day.machine.main_pid()
    status = day.types(f"grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd|Uid)' /proc/{pid}/status").out
    for field, value in {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0000000000000400", "CapBnd": "0000000000000400"}.items():
        day.sees(f"{field} is {value}", re.search(rf"^{field}:\s+{value}$", status, re.M), status)
    nice = day.types(f"ps -L -o comm=,ni= -p {pid}").out
    hashing = [int(line.split()[1]) for line in nice.splitlines() if line.startswith("hash")]
    day.sees("the threads that hash passwords give way", hashing and all(n > 0 for n in hashing), nice)
    serving = [int(line.split()[1]) for line in nice.splitlines() if line.startswith("worker")]
    day.sees("those that serve do not", serving and all(n == 0 for n in serving), nice)


def checks(day, credentials=LOADED, check=True):
    """What docs say for a configuration that names credentials."""
    command = manual.line(OPERATIONS, "Under systemd", LOADED).replace(LOADED, credentials)
    return day.types(command, check=check)


def backend(day):
    """Runs beside the gateway, as the backend of a small team does."""
    shutil.copy(f"{os.path.dirname(__file__)}/backend.py", f"{day.machine.root}/opt/backend.py")
    unit = "[Service]\nExecStart=/usr/bin/python3 /opt/backend.py\n[Install]\nWantedBy=multi-user.target\n"
    day.machine.writes("/etc/systemd/system/backend.service", unit)
    day.machine.run("systemctl enable -q --now backend")
    until("the backend listens", lambda: listens(day, 8000))


def listens(day, port):
    try:
        day.machine.connect(port).close()
    except ConnectionRefusedError:
        return False
    return True


def makes_authority(day):
    """An authority that the machine and its clients believe, in place of a public one."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{day.folder}/ca.key"]
    openssl("req", "-x509", *key, "-subj", "/CN=Authority", "-days", "2", "-out", day.authority)
    shutil.copy(day.authority, f"{day.machine.root}/usr/local/share/ca-certificates/day.crt")
    day.machine.run("update-ca-certificates")


def receives_certificate(day):
    """The authority sends a new certificate, and it is installed as docs say. Gives its serial number."""
    folder = f"{day.machine.root}/opt/portcullis"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{folder}/site.key"]
    names = ["-subj", "/CN=api.example.com", "-addext", "subjectAltName=DNS:api.example.com"]
    issuer = ["-CA", day.authority, "-CAkey", f"{day.folder}/ca.key", "-days", "1"]
    leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-out", f"{folder}/site.pem"]
    openssl("req", "-x509", *key, *names, *issuer, *leaf)
    for command in manual.lines(OPERATIONS, "Under systemd", "site.pem"):
        day.types(command)
    return openssl("x509", "-in", f"{folder}/site.pem", "-noout", "-serial").strip().removeprefix("serial=")


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def uncommented(text):
    return re.sub(r"^# ", "", text, flags=re.M)


def in_a_month():
    return (datetime.date.today() + datetime.timedelta(days=30)).isoformat()


CHAPTERS = [installs, forgets_something, configures, starts, is_contained]
