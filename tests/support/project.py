"""RUNS IN PYTEST: a small project of a user's: config.toml and a module of functions, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from support.supervisor_process import Supervisor

MODULE = "mine"  # config.toml of a test says: run = "mine:tick"
FAST = """
[supervisor]
grace_period = "2s"
backoff = { base = "200ms", max = "1s", jitter = 0.0 }
watch = false
"""
NOTE = """
import os
import signal
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def note(name, text=""):
    with open(os.path.join(HERE, name), "a") as file:
        file.write(f"{text}\\n")
"""  # the head of a test's mine.py: its functions leave lines behind


class Project:
    """config.toml, mine.py and whatever else; the user's functions tell what they did by lines in files."""

    def __init__(self, folder: Path, config: str = "", code: str = "") -> None:
        self.folder = folder
        self.state = folder / ".supervisor"
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(config)
        self.write(f"{MODULE}.py", code)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def configure(self, text: str) -> Path:
        return self.write("config.toml", text)

    def write(self, name: str, text: str) -> Path:
        """Replace a file in one step, as editors do: a reader meets the old text or the new one."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(textwrap.dedent(text).lstrip("\n"))
        os.replace(fresh, path)
        return path

    def lines(self, name: str) -> list[str]:
        """Return what the user's functions appended to a file so far; whole lines only."""
        try:
            text = (self.folder / name).read_text()
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def supervisor(self, *arguments: str, **environment: str) -> Supervisor:
        """Return a `supervisor start` of this project; `with` starts it and leaves nothing behind."""
        return Supervisor(self.config, *arguments, environment=environment)

    def run(self, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run the command in the project's folder, as a user would: `project.run("check")`."""
        command = [sys.executable, "-m", "supervisor", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
