"""RUNS IN A HELPER, or in the command that checks: tries whether what the plan names can be imported and called.

User code is imported here, in a process that ends soon. It is tried by the child's own loader, so that the two
never differ.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterator, Mapping

from supervisor.child.kafka.filtering import filter_of
from supervisor.child.loader import LoadError, load, place
from supervisor.child.resources import Resources
from supervisor.core.config.problems import Fault, Path
from supervisor.core.errors import SupervisorError
from supervisor.core.kafka.shape import shape
from supervisor.core.spec import BrokerSettings, ChildSpec, ConsumerSettings, Plan, Settings, TaskSettings

TRY_WITHIN = 10.0  # seconds for one target: a reload has 30 for all
_RESOURCE = re.compile(r"\[resources\] (\w+): (.*)", re.DOTALL)


def faults(plan: Plan, old: Plan | None = None) -> list[Fault]:
    """Return one fault for each target that cannot be used.

    What a retry may mend (a module that raised while it was imported) is a warning, and all of a disabled child is.
    So is what was as broken in `old`, the plan in force: one broken child must not bar changes of the others.
    """
    before = {child.group: child.settings for child in old.children} if old else {}
    if plan.supervisor.project_dir not in sys.path[:1]:
        sys.path.insert(0, plan.supervisor.project_dir)
    with contextlib.redirect_stdout(sys.stderr):  # what user code prints is not our answer
        found = [fault for child in _one_of_each(plan) for fault in _child(child, before)]
    return list({fault.path: fault for fault in sorted(found, key=lambda fault: not fault.warning)}.values())


def call(target: str, record: Mapping[str, object], folder: str) -> str | None:
    """Call what `target` names; return None, or why it failed."""
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            load(target)(record)
    except LoadError as error:
        return str(error)
    except BaseException as error:  # sys.exit in a hook is a failed hook
        where = place(error, folder)
        return f"{type(error).__name__}: {error}" + (f" ({where})" if where else "")
    return None


def _one_of_each(plan: Plan) -> list[ChildSpec]:
    return list({child.group: child for child in plan.children}.values())


def _child(child: ChildSpec, before: Mapping[str, Settings]) -> Iterator[Fault]:
    settings = child.settings
    tolerated = not child.enabled or before.get(child.group) == settings
    if isinstance(settings, BrokerSettings):
        return
    task = isinstance(settings, TaskSettings)
    path = ("tasks", child.group, "run") if task else ("consumers", child.group, "handler")
    try:
        with _limited():
            _bind(settings)
    except LoadError as error:
        if isinstance(error.__cause__, _TooLong):
            late = f"not tried to its end: importing it takes longer than {TRY_WITHIN:g} s"
            yield Fault(path=path, found=late, warning=True)
            return
        yield _fault(path, settings, error, warning=tolerated or not error.permanent)
    except SupervisorError as error:
        yield _fault(path, settings, error, warning=tolerated)


class _TooLong(BaseException):
    """Not an Exception: user code catches these."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """One module that waits for ever must not keep all others from being looked at."""

    def too_long(number: int, frame: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, TRY_WITHIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _bind(settings: TaskSettings | ConsumerSettings) -> None:
    """As the runner and the consumer do."""
    resources = Resources(settings.resources)
    if isinstance(settings, TaskSettings):
        resources.bind(load(settings.run), given=[*settings.args, "ctx"], required=list(settings.args))
        for _, hook in _others(settings):
            load(hook)
    else:
        handler = load(settings.handler)
        parameter = shape(handler).parameter
        resources.bind(handler, given=[parameter, "ctx"], required=[parameter])
        filter_of(settings)


def _others(settings: TaskSettings | ConsumerSettings) -> list[tuple[str, str]]:
    """Return what else is called, by its key."""
    names = ("on_start", "on_finish", "on_missed", "on_overdue") if isinstance(settings, TaskSettings) else ("filter",)
    return [(name, target) for name in names if (target := getattr(settings, name))]


def _fault(path: Path, settings: TaskSettings | ConsumerSettings, error: SupervisorError, *, warning: bool) -> Fault:
    text = str(error)
    target = settings.run if isinstance(settings, TaskSettings) else settings.handler
    for key, other in _others(settings):
        if other != target and text.startswith(f"{other}: "):
            path, target = (*path[:2], key), other
    if resource := _RESOURCE.fullmatch(text):
        path, text, target = ("resources", resource[1]), resource[2], settings.resources[resource[1]]
    return Fault(path=path, found=text.removeprefix(f"{target}: "), warning=warning)
