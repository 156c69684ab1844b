"""RUNS IN THE PARENT: makes the file of a consumer's progress page, as large as all its members need.

It has its place on the disk before a child maps it: a child that wrote where none is left would be killed for it.
What cannot be read is put aside and said; what is there is true only until the machine starts again.
"""

from __future__ import annotations

import errno
import os
import stat

from supervisor.core.kafka import page
from supervisor.core.paths import Paths

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def prepare(paths: Paths, consumer: str, members: int) -> str | None:
    """Make it, or make it larger. Return what people should know."""
    path = paths.progress(consumer)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        return _prepare(path, members)
    except OSError as error:
        return f"no progress page ({path}: {error.strerror}): after a crash some records come again"


def _prepare(path: str, members: int) -> str | None:
    said = None
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
        said, fd = _put_aside(path, "not a file")
    try:
        status = os.fstat(fd)
        end = status.st_size
        if end or not stat.S_ISREG(status.st_mode):
            found = page.read_header(os.pread(fd, page.HEADER, 0)) if end else "not a file"
            if isinstance(found, str):
                said, new = _put_aside(path, found)
                os.close(fd)  # only now: who cannot make a new one closes it below
                fd, end = new, 0
            elif found.boot != _boot():
                os.ftruncate(fd, 0)  # after a power cut the disk may have it and not what the handlers wrote
                end = 0
        if end < page.size(members):
            os.posix_fallocate(fd, 0, page.size(members))
            os.pwrite(fd, page.header(members, _boot()), 0)
    finally:
        os.close(fd)
    return said


def _put_aside(path: str, why: str) -> tuple[str, int]:
    aside = f"{path}.aside"
    os.replace(path, aside)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return f"the progress page was put aside as {aside} ({why}): some records may come again", fd


def _boot() -> bytes:
    with open(BOOT_ID) as file:
        return bytes.fromhex(file.read().strip().replace("-", ""))
