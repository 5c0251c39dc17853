"""The night: it is taken off the machine."""

import manual
from installing import OPERATIONS, listens


def looks_back(day):
    """She looks back on the day."""
    said = day.types("journalctl -u portcullis -o cat --no-pager").out
    day.sees("the journal has the whole day", said.count('"message":"serving"') >= 8, said.count('"message":"serving"'))
    day.sees("no system call was refused by the unit's filter", "status=31/SYS" not in said)
    day.sees("no thread has panicked", "panicked" not in said and '"panic"' not in said)


def uninstalls(day):
    """She uninstalls it."""
    for command in manual.lines(OPERATIONS, "Uninstall", "portcullis-http.socket"):
        day.types(command)
    lists = "systemctl list-unit-files --no-legend 'portcullis*'; systemctl list-units --no-legend --all 'portcullis*'"
    units = day.types(lists, check=False).out
    day.sees("systemd knows it no more", units == "", units)
    day.sees("nothing listens", not any(listens(day, port) for port in (80, 443, 9090)))
    day.types("test -s /var/lib/portcullis/accounts.db && test -s /etc/portcullis/portcullis.toml")
    day.sees("accounts and configuration are left to her", True)
    for command in manual.lines(OPERATIONS, "Uninstall", "userdel"):
        day.types(command)
    running = day.types("pgrep -c portcullis", check=False).out
    day.sees("no process of it is left", running == "0\n", running)


CHAPTERS = [looks_back, uninstalls]
