"""RUNS IN PYTEST: what a user's module needs to write into the pipe on which its process speaks to the supervisor."""

from __future__ import annotations

MESSAGES = """
import fcntl
import json


def messages():
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            link, flags = os.readlink(f"/proc/self/fd/{fd}"), fcntl.fcntl(fd, fcntl.F_GETFL)
        except OSError:
            continue
        if fd > 2 and link.startswith("pipe:") and flags & os.O_ACCMODE == os.O_WRONLY:
            found.append(fd)
    (fd,) = found
    return fd


def frame(body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return len(data).to_bytes(4, "big") + data


def say(data):
    while True:
        try:
            return os.write(messages(), data)
        except BlockingIOError:
            time.sleep(0.01)


"""  # to stand behind support.project.NOTE, which imports os and time
