"""RUNS IN THE SOAK: the project that is harmed: its config.toml, its modules, and what their lines in files mean.

Every child has a module of its own, which takes a lock (its grandchildren hold it too, by inheritance) and writes
down its birth; every run and every record leaves a line before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaos.harmed import HARMED

HEARTBEAT = 3.0  # timeout of the children that are harmed
GRACE = 2.0
BASE, CAP, JITTER = 0.2, 2.0, 0.2  # of the backoff
PARTITIONS = 4
EVERY = {"canary": 1.0, "steady": 0.5, "family": 1.0, "harmed": 0.5, "toggled": 0.5, "retrying": 1.0}
SIGNALLED = ("steady", "family", "toggled", "retrying", "harmed")  # tasks that are harmed from outside
CONSUMERS = {"reader": 2, "batcher": 1}  # processes
NEVER_WELL = "crasher"
SPARED = "canary"
TOGGLED = "toggled"
SLEEPERS = 2  # programs that the family starts and leaves alone

HEAD = f"""
[supervisor]
grace_period = "{GRACE:g}s"
stable_after = "5s"
backoff = {{ base = "{BASE * 1000:g}ms", max = "{CAP:g}s", jitter = {JITTER} }}
heartbeat = {{ interval = "200ms", timeout = "{HEARTBEAT:g}s" }}
watch = false
log_max_bytes = "256KiB"
log_keep = 1
"""
TASK = '\n[tasks.{name}]\nrun = "{name}:tick"\nevery = "{every:g}ms"\n{more}'
MORE = {
    "canary": 'heartbeat = { interval = "1s", timeout = "20s" }\n',
    "harmed": 'timeout = "1s"\nkill_after = "0s"\nmax_rss = "110MiB"\nmax_rss_hard = "200MiB"\n',
    "retrying": 'retries = 2\nretry_backoff = { base = "50ms", max = "100ms" }\n',
}
CRASHER = '\n[tasks.crasher]\nrun = "crasher:tick"\nevery = "1h"\n'
CHANGING = '\n[tasks.changing]\nrun = "changing:tick"\nevery = "{every}ms"\n'
CONSUMER = """
[consumers.{name}]
handler = "{name}:store"
topics = ["{topic}"]
group_id = "{name}-{topic}"
auto_offset_reset = "earliest"
dead_letter_topic = "{topic}.dlq"
processes = {processes}
handler_timeout = "10s"
"""

NOTE = """
import ctypes, fcntl, os, random, signal, subprocess, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = __name__


def note(name, text):
    fd = os.open(os.path.join(HERE, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{text}\\n".encode())
    os.close(fd)


def born(copies=1):
    \"\"\"One lock for each process that there may be: who gets none is one too many.

    A reload tries in a process of its own whether a module can be imported: that is no child.
    \"\"\"
    title = open("/proc/self/cmdline").read().replace("\\0", " ").strip()
    if title.partition(" ")[2].partition(":")[0] != NAME:
        return
    stat = open("/proc/self/stat").read().rpartition(")")[2].split()
    note("births", f"{NAME} {os.getpid()} {int(stat[19]) / os.sysconf('SC_CLK_TCK')} {os.getppid()} {time.time()}")
    for number in range(copies):
        lock = os.open(os.path.join(HERE, f"{NAME}.{number}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(lock, True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            os.close(lock)
    note("twice", f"{NAME} {os.getpid()} {time.time()}")


def started(ctx):
    note(f"{NAME}.started", f"{ctx.slot!r} {ctx.kind} {ctx.attempt} {os.getpid()}")

"""
PLAIN = "born()\n\n\ndef tick(ctx):\n    started(ctx)\n    time.sleep(0.03)\n"
RETRYING = """
born()


async def tick(ctx):
    started(ctx)
    if random.random() < 0.3:
        raise RuntimeError("by chance")
"""
FAMILY = """
born()
subprocess.Popen(["sleep", "3600"], close_fds=False)
subprocess.Popen(["setsid", "-f", "sleep", "3600"], close_fds=False)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
    os._exit(0)


def tick(ctx):
    started(ctx)
"""
CRASHES = "born()\nraise RuntimeError('always')\n"
READER = """
born(2)


def store(record):
    note("reader.stored", f"{record.partition} {record.offset} {record.value['n']} {os.getpid()}")
    time.sleep(0.002)
"""
BATCHER = """
from supervisor import Record

born()


def store(records: list[Record]):
    for record in records:
        note("batcher.stored", f"{record.partition} {record.offset} {record.value['n']} {os.getpid()}")
"""
CODE: Mapping[str, str] = {
    "canary": PLAIN,
    "steady": PLAIN,
    "toggled": PLAIN,
    "changing": PLAIN,
    "family": FAMILY,
    "retrying": RETRYING,
    "harmed": HARMED,
    "crasher": CRASHES,
    "reader": READER,
    "batcher": BATCHER,
}


def config(bootstrap: str, topic: str, *, changing: int | None = 700, more: str = "") -> str:
    """`changing`: milliseconds between runs of the task that reloads change; None: there is none."""
    made = HEAD + CRASHER + f'\n[kafka]\nbootstrap_servers = "{bootstrap}"\n'
    for name, every in EVERY.items():
        made += TASK.format(name=name, every=every * 1000, more=MORE.get(name, ""))
    for name, processes in CONSUMERS.items():
        made += CONSUMER.format(name=name, topic=topic, processes=processes)
    return made + (CHANGING.format(every=changing) if changing else "") + more
