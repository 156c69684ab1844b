"""RUNS IN A CHILD: what the parent hands to a new process through fork: plain data and descriptor numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Any

from supervisor.core.lifecycle.exits import LastExit
from supervisor.core.spec import ChildSpec, SupervisorSettings

__all__ = ["Birth", "LastExit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    spec: ChildSpec
    supervisor: SupervisorSettings
    generation: int
    previous: LastExit | None
    parent_pid: int
    messages: int  # write end, to the parent
    orders: int  # read end, from the parent
    page: mmap  # the black box, shared with the parent
    dump: int  # memfd: faulthandler and fatal tracebacks
    console: int  # the supervisor's stderr
    nofile: tuple[int, int]  # the limit the parent itself was started with
    extra: Mapping[str, Any]  # facts of the moment: the embedded broker's address
