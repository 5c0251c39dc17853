"""What docs/ tell the operator to type: the day takes its commands from there, so that they stay true."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class NotInDocs(AssertionError):
    """The manual does not say any more what the day does."""


def section(file, heading):
    """The text under a heading, up to the next one of any level."""
    with open(f"{ROOT}/{file}") as document:
        text = document.read()
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not found:
        raise NotInDocs(f"{file} has no section “{heading}”")
    return found[1]


def blocks(file, heading):
    """The indented blocks of a section, without their indentation."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section(file, heading), re.M)
    return [re.sub(r"^    ", "", block, flags=re.M).strip("\n") for block in found]


def block(file, heading, having):
    """The one block of a section in which `having` stands."""
    found = [block for block in blocks(file, heading) if having in block]
    if len(found) != 1:
        raise NotInDocs(f"{file}, “{heading}”: {len(found)} blocks have `{having}`")
    return found[0]


def lines(file, heading, having):
    """The command lines of the one block in which `having` stands."""
    return command_lines(block(file, heading, having))


def line(file, heading, having):
    """The one command line of a section in which `having` stands."""
    found = [line for one in blocks(file, heading) for line in command_lines(one) if having in line]
    if len(found) != 1:
        raise NotInDocs(f"{file}, “{heading}”: {len(found)} commands have `{having}`")
    return found[0]


def command_lines(text):
    """Without comments; a `\\` at its end joins a line with the next."""
    found = [re.sub(r"\s+#\s.*$", "", line).strip() for line in text.replace("\\\n", "").splitlines()]
    return [line for line in found if line and not line.startswith("#")]


def commented(file, having):
    """The command in a comment of a sample file, such as `#     (umask 077; …)`."""
    with open(f"{ROOT}/{file}") as sample:
        found = [line for line in sample.read().splitlines() if re.match(r"#\s{3,}", line) and having in line]
    if len(found) != 1:
        raise NotInDocs(f"{file}: {len(found)} comments have `{having}`")
    return found[0].lstrip("# ")
