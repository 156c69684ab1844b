"""RUNS IN THE PARENT: whether the kernel killed for want of memory: the counter of our own cgroup."""

from __future__ import annotations


class OomCounter:
    """cgroup v2's memory.events, or v1's memory.oom_control. Where neither can be read, nothing is claimed."""

    def __init__(self) -> None:
        self._paths = _paths()
        self._last = self._read()

    def grew(self) -> bool:
        before, self._last = self._last, self._read()
        return self._last > before

    def _read(self) -> int:
        for path in self._paths:
            try:
                with open(path) as events:
                    fields = dict(line.split(maxsplit=1) for line in events if " " in line)
            except OSError:
                continue
            return int(fields.get("oom_kill", 0))
        return 0


def _paths() -> list[str]:
    try:
        with open("/proc/self/cgroup") as groups:
            lines = [line.rstrip("\n").split(":", 2) for line in groups]
    except OSError:
        return []
    v2 = [f"/sys/fs/cgroup{path}/memory.events" for number, _, path in lines if number == "0"]
    v1 = [f"/sys/fs/cgroup/memory{path}/memory.oom_control" for _, names, path in lines if "memory" in names.split(",")]
    return v2 + v1
