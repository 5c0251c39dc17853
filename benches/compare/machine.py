"""What the kernel tells of processes and of the machine: time, memory, and who else is running."""

import os
import platform
import re
import signal
import subprocess

TICK = os.sysconf("SC_CLK_TCK")
CPUS = sorted(os.sched_getaffinity(0))


def places(workers):
    """Processors for the proxy and for the load. On two processors, two workers share both with the load."""
    if workers == 1 or len(CPUS) == 1:
        return {CPUS[-1]}, {CPUS[0]}
    if len(CPUS) < 4:
        return set(CPUS), set(CPUS)
    return set(CPUS[1:1 + workers]), {CPUS[0], *CPUS[1 + workers:]}


class Process:
    """A program with all its children, on processors of its own."""

    def __init__(self, argv, cpus, env=None, log=None, **pipes):
        out = open(log, "ab") if log else subprocess.DEVNULL
        pipes = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **pipes}
        self.popen = subprocess.Popen(
            argv, env={**os.environ, **(env or {})}, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus), **pipes)
        if log:
            out.close()

    def pids(self):
        """Everything in the session that the program began."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            stat = stat_of(name)
            if stat and int(stat[3]) == self.popen.pid and stat[0] != "Z":
                found.append(int(name))
        return found

    def cpu(self):
        """Seconds on a processor, of all threads."""
        return sum(schedstat(pid) for pid in self.pids())

    def memory_kb(self):
        return sum(int(re.search(r"^Rss:\s+(\d+)", read(f"/proc/{pid}/smaps_rollup"), re.M)[1]) for pid in self.pids())

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def read(path):
    with open(path) as file:
        return file.read()


def stat_of(pid):
    try:
        return read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def schedstat(pid):
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += int(read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total / 1e9


def deferred(cpus):
    """Seconds of network work that the kernel has put off to threads of its own on these processors."""
    names = {f"ksoftirqd/{cpu}" for cpu in cpus}
    total = 0.0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if read(f"/proc/{pid}/comm").strip() in names:
                total += schedstat(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def busy_and_stolen():
    """Seconds that all processors were busy, and that the host took from them."""
    values = [int(value) for value in read("/proc/stat").splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = values
    return (user + nice + system + irq + softirq) / TICK, steal / TICK


def calibrate(tools, cpus):
    """Nanoseconds of a round trip over loopback: how fast the machine is just now."""
    def once():
        done = subprocess.run([tools, "calibrate"], capture_output=True, text=True, check=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        return int(done.stdout)
    return min(once(), once())


def description():
    model = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", read("/proc/meminfo"), re.M)[1]) // 1024 // 1024
    return {"cpu": model[1] if model else platform.machine(), "processors": len(CPUS), "memory_gib": memory,
            "kernel": platform.release(), "virtual": "hypervisor" in read("/proc/cpuinfo")}
