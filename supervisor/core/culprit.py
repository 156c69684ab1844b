"""Which line of the user's own code a traceback or a dump of stacks points at. Texts in, a text out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from supervisor.core.prose import gist

_THREAD = re.compile(r"^(?:Current thread|Thread) 0x", re.MULTILINE)  # the head of each stack in a dump
_FRAME = re.compile(r'File "([^"\n]{1,4096})", line (\d{1,9}),? in ([^\n]{1,500})')
_BELOW = ("/supervisor/parent/", "/supervisor/child/main.py", "/multiprocess/", "<frozen runpy>")  # every stack
_FOREIGN = ("/site-packages/", "/dist-packages/", "/supervisor/child/", "/supervisor/parent/")


def guilty(text: str, project: str) -> str | None:
    """Return tasks/task1.py:18 in run: the innermost frame in the folder `project`, or None.

    A traceback has its innermost frame last, faulthandler's dump first.
    """
    found = [frame for frame in _FRAME.findall("".join(_by_guilt(text))) if _own(frame[0], project)]
    if not found:
        return None
    file, number, function = found[0] if "(most recent call first)" in text else found[-1]
    return f"{file[len(project) :].lstrip('/')}:{number} in {function.strip()}"


def readable(stacks: str) -> list[str]:
    """Return the lines of a dump without what leads to every child's code, the guilty thread first."""
    made: list[str] = []
    for stack in _by_guilt(stacks):
        head, *frames = [text for text in stack.splitlines() if text.strip()] or [""]
        frames = [text for text in frames if not any(part in text for part in _BELOW)]
        if head and (frames or not _THREAD.match(head)):
            made += [head, *frames]
    return made


def _by_guilt(dump: str) -> list[str]:
    """What stands before the first thread; the one that crashed or was asked, the main one, others, the heartbeat."""
    starts = [found.start() for found in _THREAD.finditer(dump)]
    stacks = [dump[start:end] for start, end in zip(starts, [*starts, len(dump)][1:], strict=True)]
    return [dump[: starts[0]] if starts else dump, *sorted(stacks, key=_innocence)]


def _innocence(stack: str) -> int:
    if "/supervisor/child/heartbeat.py" in stack:
        return 3
    if stack.startswith("Current"):
        return 0
    return 1 if any(part in stack for part in _BELOW) else 2


def latest(tracebacks: Iterable[object], project: str) -> tuple[str, str | None] | None:
    """Return the error and its place of the last one of these that is a traceback."""
    texts = [text for text in tracebacks if isinstance(text, str) and _FRAME.search(text)]
    return (gist(texts[-1]), guilty(texts[-1], project)) if texts else None


def module_file(target: str) -> tuple[str, str]:
    """Return where the module of module:function may lie, below the project's folder."""
    path = target.partition(":")[0].replace(".", "/")
    return f"{path}.py", f"{path}/__init__.py"


def _own(file: str, project: str) -> bool:
    return file.startswith(f"{project.rstrip('/')}/") and not any(part in file for part in _FOREIGN)
