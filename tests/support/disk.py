"""RUNS IN PYTEST: a file system without room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
