"""RUNS IN A PROCESS OF ITS OWN, for doctor: the configuration, and what it names: code, zones, broker, database."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from supervisor.cli import report
from supervisor.cli.checks.apart import Answer
from supervisor.cli.config import summary
from supervisor.cli.place import Place
from supervisor.core.config import redact
from supervisor.core.kafka import retry_topics
from supervisor.core.spec import ConsumerSettings, Plan, TaskSettings

Found = Mapping[str, Any]
EMBEDDED = "embedded"


def read(place: Place) -> Found:
    return report.read(place, check_targets=False)


def config(place: Place, found: Found) -> Answer:
    if not found["ok"]:
        return Answer(False, _first(place, found["problems"], "error"), "supervisor check")
    said = f"{place.short(place.config)}: {summary(found['plan'])}"
    if warnings := found["warnings"]:
        said += f"; {report.many(len(warnings), 'warning')} (supervisor check)"
    return Answer(True, said)


def targets(place: Place, before: Found) -> Answer:
    """Import all that is named, as `check` does. What a retry may mend is a warning there, and a fault here."""
    sys.dont_write_bytecode = True  # of the user's modules
    found = report.read(place, check_targets=True)
    wrong = found["problems"] or [each for each in found["warnings"] if each not in before["warnings"]]
    if wrong:
        return Answer(False, _first(place, wrong, "target"), "supervisor check")
    return Answer(True, "all can be imported and called")


def zones(plan: Plan) -> Answer:
    names = sorted({child.settings.timezone for child in plan.children if isinstance(child.settings, TaskSettings)})
    missing = []
    for name in names:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            missing.append(name)
    if missing:
        return Answer(False, f"no data for {', '.join(missing)}", f"{sys.executable} -m pip install tzdata")
    return Answer(True, ", ".join(names)) if names else Answer(None, "no task needs one")


def clusters(plan: Plan) -> list[ConsumerSettings]:
    """Return one consumer of each way to reach a cluster."""
    found: dict[str, ConsumerSettings] = {}
    for settings in _consumers(plan):
        found.setdefault(repr((settings.bootstrap_servers, sorted(settings.properties.items()))), settings)
    return list(found.values())


def broker(settings: ConsumerSettings, topics: Sequence[str] | str) -> Answer:
    """`topics`: what the cluster has, or why it did not say."""
    where = settings.bootstrap_servers
    if where == EMBEDDED:
        text = "the embedded demo broker: what is in it is lost with it"
        return Answer(False, text, 'set kafka.bootstrap_servers = "host:9092"')
    if isinstance(topics, str):
        return Answer(False, f"{where}: {redact.text(topics)}", "what is wrong in detail: supervisor kafka doctor")
    return Answer(True, f"{where}: {report.many(len(topics), 'topic')}")


def missing(plan: Plan, settings: ConsumerSettings, topics: Sequence[str]) -> Answer:
    """What the consumers of this cluster read and write."""
    here = [each for each in _consumers(plan) if each.bootstrap_servers == settings.bootstrap_servers]
    needed = {topic for each in here for topic in (*each.topics, each.dead_letter_topic) if topic}
    needed |= {topic for each in here for topic in retry_topics.names(each.topics, each.retry_topics)}
    if absent := sorted(needed - set(topics)):
        tool = f"kafka-topics.sh --bootstrap-server {settings.bootstrap_servers} --create --topic {absent[0]}"
        return Answer(False, f"{', '.join(absent)} {'does' if len(absent) == 1 else 'do'} not exist", tool)
    return Answer(True, ", ".join(sorted(needed)))


def resources(plan: Plan) -> dict[str, str]:
    """Return name to "module:factory" of all [resources]."""
    kinds = (TaskSettings, ConsumerSettings)
    each = [child.settings.resources for child in plan.children if isinstance(child.settings, kinds)]
    return {name: target for found in each for name, target in found.items()}


def opens(plan: Plan, state: str, name: str, target: str) -> Answer:
    """Open it and close it as a child does; a SQLAlchemy session connects only when it is asked to."""
    from supervisor.child.loader import load
    from supervisor.child.opening import opened_async

    sys.dont_write_bytecode = True
    sys.path.insert(0, plan.supervisor.project_dir)
    os.environ["FORKWARDEN_STATE_DIR"] = state

    async def once() -> None:
        async with opened_async({name: load(target)}) as values:
            connect = getattr(values[name], "connection", None)
            if type(values[name]).__module__.startswith("sqlalchemy.orm") or hasattr(values[name], "sync_session"):
                found = connect() if connect else None
                if inspect.isawaitable(found):
                    await found

    try:
        with contextlib.redirect_stdout(None):
            asyncio.run(once())
    except Exception as error:
        said = " ".join(redact.text(str(error)).split())[:300]
        return Answer(False, f"{target}: {said or type(error).__name__}", "is it running, is the address right?")
    return Answer(True, f"{target} opens and closes")


def _consumers(plan: Plan) -> list[ConsumerSettings]:
    return [c.settings for c in plan.children if isinstance(c.settings, ConsumerSettings) and c.enabled]


def _first(place: Place, problems: Sequence[Found], word: str) -> str:
    """Return the first in one line, and how many there are."""
    said = report.one(place, {key: value for key, value in problems[0].items() if key != "rendered"})
    more = f" (and {report.many(len(problems) - 1, word)} more)" if len(problems) > 1 else ""
    return said.partition("\n")[0] + more
