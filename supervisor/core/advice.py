"""What the trouble of a child means in plain words, and what to type next. Reads the detail that `explain` gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor.core.kafka.refusals import Refusal, refusal
from supervisor.core.status import healthy, state

Facts = Mapping[str, Any]

_MEANS = {
    "crash": "it ended by itself, or by a signal that was not the supervisor's",
    "oom": "memory ran out, and the kernel chose this process: the cgroup's counter says so",
    "hung": "no heartbeat: it was stopped, or C code kept every Python thread from running",
    "stuck": "it lived, but its main thread stayed in one step for longer than is allowed",
    "timed_out": "a run went on beyond its timeout and did not hear that: its process was replaced, nothing is counted",
    "start_timeout": "it was not ready in time: something that is done at import takes long, or waits",
    "memory": "it grew over max_rss: its run was finished, then it was replaced",
    "memory_hard": "it grew so far over its limit that it was killed at once",
    "config": "no retry can mend it: it waits until the code or config.toml changes",
    "unavailable": "it ended because what it needs is away; it is tried again at growing intervals",
    "protocol": "something in it writes into the pipe to the supervisor",
    "not_forked": "the machine refused another process: its limits, or no memory",
}
_NATIVE = (4, 6, 7, 8, 11)  # SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV
_STACKS = ("hung", "stuck", "timed_out", "start_timeout")


def means(child: Facts) -> list[str]:
    """Return what is wrong, beyond the reason that it gave; nothing when nothing is."""
    said = []
    if unkillable(child):
        said.append("SIGKILL was sent and it is still there: the kernel waits for a device or a network disk")
        said.append("no second copy starts before it is gone")
    elif waits_for(child) and child.get("remedy"):
        said.append("it runs and waits; it goes on by itself when the embedded broker serves again")
    elif refused := refusal_of(child):
        said.append(refused.means)
    elif waits_for(child) == "broker":
        said.append("it runs and waits for Kafka; nothing is lost, and it goes on by itself when the broker is back")
    elif waits_for(child) == "database":
        said.append("it runs and waits for its database, or what else it needs; no record is lost or skipped meanwhile")
    elif waits_for(child):
        said.append("it runs and waits; it goes on by itself")
    elif state(child) == "disabled" and not child.get("override"):
        said.append(f"enabled = false stands in {child.get('where') or 'config.toml'}, or in one of its defaults")
    elif (not healthy(child) or timed_out(child)) and _cause(child) in _MEANS:
        said.append(_crash(child) if _cause(child) == "crash" else _MEANS[_cause(child)])
    if child.get("paused_by"):
        said.append("it is paused by hand: it keeps its partitions, and takes nothing new until it is resumed")
    if paused := paused_at(child):
        until = "until it is restarted" if stopped(child) else "tried again from time to time"
        said.append(f"{', '.join(paused)}: paused at a record that cannot be handled, {until}")
    if runs_paused(child):
        said.append("its runs are paused: too many failed in a row, or by order; a run that succeeds resumes them")
    return said


def runs_paused(child: Facts) -> bool:
    return bool((child.get("facts") or {}).get("paused"))


def timed_out(child: Facts) -> bool:
    """Whether its last run took the process with it; the next one that ends well is the better news."""
    last = child.get("last_run")
    return _cause(child) == "timed_out" and isinstance(last, Mapping) and last.get("state") in ("timed_out", "killed")


def _crash(child: Facts) -> str:
    """What an end by itself usually is, by its code or signal and by what the process was doing."""
    last = child.get("last_exit")
    number, code = (last.get("signal"), last.get("code")) if isinstance(last, Mapping) else (None, None)
    if number == 9:
        return "something outside sent SIGKILL: the kernel short of memory (dmesg), a container's limit, or somebody"
    if number in _NATIVE:
        return "native code crashed, often a library's: the stacks say which Python line called it"
    if code == 0:
        return "its process left with code 0: sys.exit() or os._exit() in your code or in a library"
    if isinstance(last, Mapping) and last.get("phase") == "loading":
        return "importing its module failed"
    return _MEANS["crash"]


def next_steps(child: Facts) -> list[str]:
    """Return commands, the most useful first."""
    name = str(child.get("name"))
    group = str(child.get("group") or name)
    word, task = state(child), child.get("kind") == "task"
    if word == "disabled":
        return [f"supervisor enable {group}"]
    if unkillable(child):
        pid = child.get("pid")
        return [f"cat /proc/{pid}/wchan   (what it waits for in the kernel)", f"supervisor events -f {name}"]
    if word == "fatal" and _cause(child) == "config":
        return [
            "supervisor check   (tries every import)",
            f"supervisor logs {name}",
            f"supervisor restart {group}   (after the fix; a saved config.toml does it too)",
        ]
    if word in ("backoff", "fatal"):
        return _down(child, name, group, task=task)
    if waits_for(child) and child.get("remedy"):
        return [str(child["remedy"]), f"supervisor logs -f {name}"]
    if held := _held_up(child, name, group):
        return held
    if word == "starting":
        return [f"supervisor stack {name}   (what it does at this moment)", f"supervisor logs -f {name}"]
    if not healthy(child):
        return [f"supervisor logs -f {name}", f"supervisor events -f {name}"]
    if runs_paused(child):
        return [
            f"supervisor history {group}",
            f"supervisor run {group} --wait   (after the fix: a run that succeeds resumes it)",
            f"supervisor restart {group}   (it begins to run again)",
        ]
    return [
        *([f"supervisor report {name}   (its stacks)"] if timed_out(child) else []),
        f"supervisor logs -f {name}",
        f"supervisor history {group}" if task else f"supervisor status {group} --json",
    ]


def unkillable(child: Facts) -> bool:
    return child.get("state") == "stopping" and str(child.get("reason") or "").startswith("cannot be killed")


def waits_for(child: Facts) -> str:
    """Return broker, database, something, or "" when it waits for nothing."""
    if child.get("state") != "running" or not child.get("waiting"):
        return ""
    text = str(child["waiting"]).lower()
    if any(word in text for word in ("what the handler needs", "database")):
        return "database"
    return "broker" if any(word in text for word in ("broker", "kafka", "transport", "topic")) else "something"


def refusal_of(child: Facts) -> Refusal | None:
    """What Kafka refuses a consumer that runs and waits for it."""
    consumer = child.get("kind") == "consumer" and waits_for(child) not in ("", "database")
    return refusal(str(child["waiting"])) if consumer else None


def paused_at(child: Facts) -> list[str]:
    found = child.get("partitions")
    parts = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    return [f"{p.get('topic')}[{p.get('partition')}] at {p.get('position')}" for p in parts if p.get("paused")]


def stopped(child: Facts) -> bool:
    """Whether the handler itself said to go no further."""
    return "StopPartition" in str(child.get("note") or "")


def _down(child: Facts, name: str, group: str, *, task: bool) -> list[str]:
    cause = _cause(child)
    shows = {"oom": "its memory", "memory": "its memory", **dict.fromkeys(_STACKS, "its stacks")}
    told = f"supervisor report {name}" + (f"   ({shows[cause]})" if cause in shows else "")
    return [
        told if cause != "not_forked" else "ulimit -a   (what the machine allows)",
        f"supervisor logs {name}",
        *([f"supervisor run {group} --local   (in this terminal, breakpoint() works)"] if task else []),
        f"supervisor restart {group}   (now, the count begins again)",
        f"supervisor disable {group}",
    ]


def _held_up(child: Facts, name: str, group: str) -> list[str]:
    """Of a child that runs and handles nothing, or not everything."""
    if child.get("paused_by"):
        return [f"supervisor kafka resume {group}", f"supervisor kafka lag {group}"]
    if refused := refusal_of(child):
        return [*refused.steps, f"supervisor logs -f {name}"]
    if waits_for(child) in ("broker", "database"):
        return ["supervisor config show   (the address it tries)", f"supervisor logs -f {name}"]
    return _paused(child, name, group) if paused_at(child) else []


def _paused(child: Facts, name: str, group: str) -> list[str]:
    said = [
        f"supervisor logs {name} --level error   (the record, and what it raised)",
        f"supervisor restart {group}   (after the fix: tries it now)",
    ]
    if "dead_letter_limit" in str(child.get("note") or ""):
        return [*said, "dead_letter_limit in config.toml   (when so many bad records are no surprise)"]
    return said if stopped(child) else [*said, "dead_letter_topic in config.toml   (passes such records on)"]


def _cause(child: Facts) -> str:
    last = child.get("last_exit")
    return str(last.get("cause")) if isinstance(last, Mapping) else ""
