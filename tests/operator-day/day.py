#!/usr/bin/env python3
"""One day of an operator who installs Portcullis on a VM and lives with it, as docs/ tell her to.

Runs in a mount namespace of its own (`make operator-day`). Each chapter is a function that says in its first line
what happens; what she types is taken from docs/, and what she sees is checked.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback

import changing
import installing
import leaving
import manual
import people
import trouble
from client import Client
from machine import Machine, Unexpected

CHAPTERS = installing.CHAPTERS + people.CHAPTERS + changing.CHAPTERS + trouble.CHAPTERS + leaving.CHAPTERS
RELEASE = ["README.md", "docs", "systemd", "config"]


class Day:
    """The machine, who asks it, and what one chapter leaves to the next."""

    def __init__(self, machine, binary, folder):
        self.machine, self.binary, self.folder = machine, binary, folder
        self.authority = f"{folder}/ca.pem"
        self.client = Client(machine, self.authority)
        self.passwords, self.tokens = {}, {}

    def types(self, command, stdin="", check=True, variables=None):
        """What she types, as root of the machine."""
        for line in command.splitlines():
            line = " ".join(line.split())
            print(f"   # {line}")
        return self.machine.run(command, stdin, check, variables)

    def sees(self, what, seen, shown=""):
        """Checks what she sees, and tells it."""
        if not seen:
            raise Unexpected(f"not seen: {what}{f': {shown}' if shown != '' else ''}")
        print(f"     {what}")
        return seen

    def edits(self, path, old, new):
        """What her editor does to a file; `old` is there once."""
        text = self.machine.reads(path)
        if text.count(old) != 1:
            raise Unexpected(f"{path} has {text.count(old)} times:\n{old}")
        self.machine.writes(path, text.replace(old, new))
        print(f"   edits {path}: {' '.join(new.split())[:90]}")


def main():
    a = arguments()
    chapters = CHAPTERS[: index(a.until) + 1] if a.until else CHAPTERS
    # So that the machine is switched off and cleared away then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    machine = Machine(os.path.abspath(a.work), {"/var/lib/portcullis": 16, "/var/log/portcullis": 16})
    try:
        unpack(machine, a.binary)
        machine.boot()
        day = Day(machine, a.binary, machine.folder)
        for number, chapter in enumerate(chapters, 1):
            print(f"\n{number:2}. {chapter.__doc__.splitlines()[0]}", flush=True)
            chapter(day)
    except Exception as failed:
        if not isinstance(failed, (Unexpected, manual.NotInDocs)):
            traceback.print_exc(file=sys.stdout)
        print(f"\nFAILED: {failed}", flush=True)
        print(last_words(machine))
        return 1
    finally:
        machine.end(a.keep)
    print(f"\n{len(chapters)} chapters, all as docs/ say, in {time.monotonic() - began:.0f} s")
    return 0


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", required=True, help="folder with the root that ./setup made")
    p.add_argument("--binary", required=True, help="the portcullis to install")
    p.add_argument("--until", metavar="CHAPTER", help="the last chapter: " + ", ".join(c.__name__ for c in CHAPTERS))
    p.add_argument("--keep", action="store_true", help="leave what the machine wrote in WORK")
    return p.parse_args()


def index(name):
    names = [chapter.__name__ for chapter in CHAPTERS]
    if name not in names:
        sys.exit(f"no such chapter: {name}; there are {', '.join(names)}")
    return names.index(name)


def unpack(machine, binary):
    """The release lies unpacked on the machine, as after a build there."""
    home = f"{machine.root}/opt/portcullis"
    os.makedirs(f"{home}/target/release")
    shutil.copy(binary, f"{home}/target/release/portcullis")
    for name in RELEASE:
        source = f"{manual.ROOT}/{name}"
        shutil.copytree(source, f"{home}/{name}") if os.path.isdir(source) else shutil.copy(source, home)


def last_words(machine):
    """What helps whoever looks for the cause."""
    try:
        return machine.run("systemctl status --no-pager -n 0 portcullis; journalctl -n 30 --no-pager -o cat", check=False).said
    except (OSError, subprocess.SubprocessError, TypeError) as failed:
        return f"(the machine says nothing more: {failed})"


if __name__ == "__main__":
    sys.exit(main())
