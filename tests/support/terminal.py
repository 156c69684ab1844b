"""RUNS IN PYTEST: a pseudo terminal, and the bytes that a person's terminal would get."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

_OURS = re.compile(r"\x1b\[(?:0|1|3[1-6]|90)m")  # the colours of cli/terminal and logs
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def on_terminal(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run `supervisor` on a pseudo terminal; return its exit code and all that it wrote there."""
    parent, terminal = pty.openpty()
    env = {**os.environ, "NO_COLOR": "", "FORCE_COLOR": "", **environment}
    command = [sys.executable, "-m", "supervisor", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = b""
    try:
        while piece := os.read(parent, 65536):
            said += piece
    except OSError:  # EIO: the other side is closed
        pass
    os.close(parent)
    return process.wait(60), said.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", text)


def raw(text: str) -> list[str]:
    """Return the lines with a control or a bidi mark in them that is neither a colour of ours nor the end of a line."""
    return [line for line in _OURS.sub("", text.replace("\r\n", "\n")).split("\n") if _RAW.search(line)]
