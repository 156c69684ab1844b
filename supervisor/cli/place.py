"""RUNS IN THE USER'S TERMINAL: which config.toml, and where its supervisor keeps its state.

Reads one key and validates nothing: with a broken file the running supervisor must still be found.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from supervisor import client, logs
from supervisor.core.escape import escape
from supervisor.core.paths import Paths


class Place(NamedTuple):
    """One project: absolute paths of its configuration and of its state folder."""

    config: str
    state: str
    sockets: tuple[str, ...]  # where to ask, in this order
    option: str = ""  # how the person must say it again: " --config FILE", or nothing

    @property
    def paths(self) -> Paths:
        return Paths(self.state)

    def short(self, path: str) -> str:
        """Return the path as the person would type it, fit for a terminal."""
        return escape(logs.typed(path))


def find(option: str | None = None) -> Place:
    """Return the place of --config, else of FORKWARDEN_CONFIG, else of ./config.toml; the file may be absent."""
    config = client.config_file(option)
    sockets = client.sockets(client.state_dir(config))
    return Place(config, _in_use(sockets), sockets, f" --config {escape(option)}" if option else "")


def _in_use(sockets: tuple[str, ...]) -> str:
    """Return the folder that a supervisor uses or used: another one when the configured cannot hold a socket."""
    folders = [os.path.dirname(socket) for socket in sockets]
    for name in ("ctl.sock", "lock"):
        for folder in folders:
            if os.path.lexists(f"{folder}/{name}"):
                return folder
    return folders[0]
