"""A VM as far as systemd can tell: a container with a Debian of its own, booted by systemd-nspawn.

Its network is a loopback of its own. The root is laid over the cached one, so that each day begins with a fresh
machine; the folders of the database and of the logs are file systems of their own, small enough to be filled.
"""

import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PATIENCE = 60
# Of systemd-nspawn with --keep-unit, whose caller starts it again.
REBOOT = 133
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Unexpected(AssertionError):
    """What was seen is not what an operator may expect."""


class Ran:
    """What a command said and how it ended."""

    def __init__(self, command, ended):
        self.command, self.code, self.out, self.err = command, ended.returncode, ended.stdout, ended.stderr

    @property
    def said(self):
        return self.out + self.err


class Machine:
    """`work` has the cached root; volumes are {folder: MiB}."""

    def __init__(self, work, volumes):
        self.folder = tempfile.mkdtemp(prefix="day-", dir=work)
        self.root = f"{self.folder}/root"
        self.leader = None
        self._mount(f"{work}/root", volumes)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(f"{self.folder}/notify")
        self._nspawn = None
        # Only cgroup v2, as Debian has it; in this mount namespace alone.
        call("umount", "-R", "/sys/fs/cgroup")
        call("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
        self.cgroup = f"/sys/fs/cgroup/portcullis-day-{os.getpid()}"
        os.mkdir(self.cgroup)

    def _mount(self, lower, volumes):
        for name in ("upper", "overlay", "root"):
            os.mkdir(f"{self.folder}/{name}")
        layers = f"lowerdir={lower},upperdir={self.folder}/upper,workdir={self.folder}/overlay"
        call("mount", "-t", "overlay", "-o", layers, "portcullis-day", self.root)
        for number, (folder, size) in enumerate(volumes.items()):
            image = f"{self.folder}/volume{number}"
            with open(image, "wb") as file:
                file.truncate(size << 20)
            call("mkfs.ext4", "-q", "-m", "0", image)
            os.makedirs(self.root + folder)
            call("mount", "-o", "loop", image, self.root + folder)

    def boot(self):
        """Starts the machine and waits until systemd says that it is up."""
        enter = f"echo $$ > {self.cgroup}/cgroup.procs; exec \"$@\""
        nspawn = ["setpriv", "--pdeathsig=TERM", "systemd-nspawn", "--boot", "--quiet", f"--directory={self.root}"]
        nspawn += ["--machine=gateway", "--private-network", "--register=no", "--keep-unit", "--notify-ready=yes"]
        nspawn += ["--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe"]
        console = open(f"{self.folder}/console", "a")
        environment = os.environ | {"NOTIFY_SOCKET": f"{self.folder}/notify"}
        self._nspawn = subprocess.Popen(
            ["bash", "-c", enter, "boot", *nspawn],
            env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
        )
        console.close()
        self._notices.settimeout(PATIENCE)
        while True:
            notice = self._notices.recv(4096).decode()
            leader = re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", notice, re.M)
            if leader:
                self.leader = int(leader[1])
            if re.search(r"^READY=1$", notice, re.M):
                return

    def run(self, command, stdin="", check=True, variables=None):
        """Runs a command line as root of the machine, in the folder of the unpacked release."""
        inside = ["nsenter", f"--target={self.leader}", "--all", "env", "-i", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"]
        inside += ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        inside += [f"{name}={value}" for name, value in (variables or {}).items()]
        inside += ["bash", "-o", "pipefail", "-c", f"cd /opt/portcullis\n{command}"]
        ended = subprocess.run(inside, input=stdin, capture_output=True, text=True, timeout=3 * PATIENCE)
        ran = Ran(command, ended)
        if check and ran.code != 0:
            raise Unexpected(f"`{command}` ended with {ran.code}:\n{ran.said}")
        return ran

    def reads(self, path):
        with open(self.root + path) as file:
            return file.read()

    def writes(self, path, text):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        with open(self.root + path, "w") as file:
            file.write(text)

    def connect(self, port):
        """A TCP connection from within the machine's network."""
        with in_network_of(self.leader):
            made = socket.socket()
        made.settimeout(PATIENCE)
        made.connect(("127.0.0.1", port))
        return made

    def main_pid(self):
        return int(self.run("systemctl show --property MainPID --value portcullis").out)

    def cursor(self):
        """Where the journal ends now."""
        return re.search(r"-- cursor: (\S+)", self.run("journalctl --show-cursor -n 0 -q").out)[1]

    def journal(self, since, wanted):
        """Waits for an entry of the unit after `since` for which `wanted(entry)` holds, and gives it."""
        follow = ["nsenter", f"--target={self.leader}", "--all", "journalctl", "-u", "portcullis", "-o", "json", "-f"]
        reader = subprocess.Popen(
            [*follow, f"--after-cursor={since}", "--lines=all"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        # A journal in which nothing comes keeps its reader waiting.
        giving_up = threading.Timer(PATIENCE, reader.kill)
        giving_up.start()
        seen = []
        try:
            for line in reader.stdout:
                entry = json.loads(line)
                seen.append(str(entry.get("MESSAGE")))
                if wanted(entry):
                    return entry
        finally:
            giving_up.cancel()
            reader.kill()
            reader.wait()
        raise Unexpected("the journal has no such entry; it has:\n  " + "\n  ".join(seen[-20:]))

    def reboot(self):
        """What it was told to write is what the next boot finds."""
        self.run("systemctl reboot", check=False)
        ended = self._nspawn.wait(PATIENCE)
        if ended != REBOOT:
            raise Unexpected(f"the machine did not ask for a reboot: systemd-nspawn ended with {ended}")
        self.boot()

    def end(self, keep):
        if self._nspawn:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                # Its end does not end the machine.
                with contextlib.suppress(OSError):
                    os.kill(self.leader, signal.SIGKILL)
                self._nspawn.kill()
                self._nspawn.wait()
            with contextlib.suppress(OSError):
                for folder, _, _ in os.walk(self.cgroup, topdown=False):
                    os.rmdir(folder)
        call("umount", "-R", self.root)
        if keep:
            print(f"kept: {self.folder}/upper, {self.folder}/console")
        else:
            shutil.rmtree(self.folder)


@contextlib.contextmanager
def in_network_of(pid):
    """Within, this thread's sockets are made in the network of `pid`."""
    with open("/proc/thread-self/ns/net") as own, open(f"/proc/{pid}/ns/net") as theirs:
        enter(theirs)
        try:
            yield
        finally:
            enter(own)


def enter(namespace):
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def call(*command):
    subprocess.run(command, check=True)


def until(what, seen):
    """Asks `seen` again until it gives something true, and gives that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = seen()
        if answer:
            return answer
        # A short breath between two looks; nothing says when a file or a counter has changed.
        select.select([], [], [], 0.05)
    raise Unexpected(f"waited {PATIENCE} s for: {what}")
