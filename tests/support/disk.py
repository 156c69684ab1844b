"""RUNS IN PYTEST: a file system without room."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def of_its_own(folder: Path, size: str = "512k") -> Iterator[None]:
    """Put the folder, which is not there yet, on a small file system."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a tmpfs")
    folder.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", str(folder)]
    mount = subprocess.run(command, check=False, capture_output=True)
    if mount.returncode:
        pytest.skip(f"no right to mount: {mount.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that there is; return the file to remove for having it back."""
    ballast = folder / "ballast"
    with open(ballast, "ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return ballast


@contextmanager
def kept_full(folder: Path) -> Iterator[Path]:
    """Take also what others give back meanwhile: a ledger that is closed removes its log of changes."""
    ballast, over = fill(folder), threading.Event()

    def take() -> None:
        with open(ballast, "ab", buffering=0) as file:
            while not over.is_set():
                try:
                    file.write(b"x" * 4096)
                except OSError:
                    over.wait(0.0005)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield ballast
    finally:
        over.set()
        thread.join()
