"""RUNS IN THE SOAK: the module of the one child that harms itself, in each run by what the file `do` says."""

from __future__ import annotations

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
