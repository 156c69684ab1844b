"""RUNS IN THE SOAK: the project that is harmed: its config.toml, its modules, and what their lines in files mean.

Every child has a module of its own, which takes a lock (its grandchildren hold it too, by inheritance) and writes
down its birth; every run and every record leaves a line before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping

HEARTBEAT = 3.0  # timeout of the children that are harmed
GRACE = 2.0
BASE, CAP, JITTER = 0.2, 2.0, 0.2  # of the backoff
PARTITIONS = 4
EVERY = {"canary": 1.0, "steady": 0.5, "family": 1.0, "harmed": 0.5, "toggled": 0.5, "retrying": 1.0}
SIGNALLED = ("steady", "family", "toggled", "retrying", "harmed")  # tasks that are harmed from outside
CONSUMERS = {"reader": 2, "batcher": 1}  # processes
NEVER_WELL = "crasher"
SPARED = "canary"
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
HARMED = """
import stat, sys

born()
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
lock = threading.Lock()
lock.acquire()
kept = []


def tick(ctx):
    started(ctx)
    try:
        os.rename(os.path.join(HERE, "do"), os.path.join(HERE, "doing"))
    except FileNotFoundError:
        return
    globals()[open(os.path.join(HERE, "doing")).read().strip()]()


def pipes():
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                found.append(fd)
        except OSError:
            pass
    return found


def deaf(act):
    while True:
        try:
            while True:
                act()
        except BaseException:
            pass


def spin():
    deaf(lambda: None)


def deadlock():
    deaf(lock.acquire)


def outside():
    deaf(lambda: libc.pthread_mutex_lock(mutex))


def interpreter():
    sum(range(10**18))


def leak():
    while len(kept) < 400:
        kept.append(b"x" * (1 << 20))
        time.sleep(0.002)


def close_pipes():
    for fd in pipes():
        os.close(fd)
    time.sleep(3600)


def garbage():
    for fd in pipes():
        os.set_blocking(fd, False)
        for _ in range(200):
            try:
                os.write(fd, os.urandom(4096))
            except OSError:
                break


def huge_frame():
    for fd in pipes():
        try:
            os.write(fd, b"\\x7f\\xff\\xff\\xff" + b"x" * 100)
        except OSError:
            pass


def flood():
    for _ in range(2500):
        os.write(1, os.urandom(8192))


def escapes():
    print("\\x1b[2J\\x1b]0;owned\\x07\\r" * 50, flush=True)


def segv():
    ctypes.string_at(0)


def abort():
    os.abort()


def exit_0():
    os._exit(0)


def exit_7():
    os._exit(7)


def leave():
    sys.exit(3)


def recursion():
    recursion()


def no_memory():
    raise MemoryError


def interrupt():
    raise KeyboardInterrupt


def daemons():
    for _ in range(5):
        subprocess.Popen(["setsid", "-f", "sleep", "3600"], close_fds=False)
    os.kill(os.getpid(), 9)


def forks():
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(3600)
    os._exit(1)


def descriptors():
    try:
        while True:
            kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass


def term_ignored():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def stop_self():
    os.kill(os.getpid(), signal.SIGSTOP)
"""
INSIDE = tuple(
    line[4:].partition("(")[0]
    for line in HARMED.splitlines()
    if line.startswith("def ") and line.endswith("():") and not line.startswith("def pipes")
)  # what `harmed` can be told to do to itself
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
