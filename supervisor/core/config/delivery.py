"""Which ways of delivery go together with the other keys of a consumer."""

from __future__ import annotations

from collections.abc import Iterator

from supervisor.core.config import planning
from supervisor.core.config.document import Consumer
from supervisor.core.config.problems import Fault, Path, quoted
from supervisor.core.config.validate import Tables


def faults(consumer: Consumer, tables: Tables, path: Path) -> Iterator[Fault]:
    if consumer.delivery == "ledger":
        yield from _ledger(consumer, tables, path)
    elif consumer.ledger is not None:
        expected = 'delivery = "ledger" beside it'
        yield Fault(path=(*path, "ledger"), expected=expected, found=f"delivery {quoted(consumer.delivery)}")
    if consumer.delivery == "transactional":
        yield from _transactional(consumer, tables, path)


def _ledger(consumer: Consumer, tables: Tables, path: Path) -> Iterator[Fault]:
    if consumer.ledger is None:
        hint = 'write ledger = "NAME", one of [resources] that gives a session or connection'
        yield Fault(path=(*path, "delivery"), expected="the key ledger with it", found="none", hint=hint)
    elif consumer.ledger not in tables.resources:
        known = ", ".join(quoted(name) for name in tables.resources) or "none"
        yield Fault(path=(*path, "ledger"), expected="a name of [resources]", hint=f"there are: {known}")
    if consumer.concurrency > 1 and consumer.ordering == "key":
        hint = "an offset can only be kept when all records before it are"
        expected = 'ordering = "partition" with delivery "ledger"'
        yield Fault(path=(*path, "ordering"), expected=expected, hint=hint)


def _transactional(consumer: Consumer, tables: Tables, path: Path) -> Iterator[Fault]:
    if consumer.concurrency > 1:
        hint = "a process has one transaction at a time: raise processes instead"
        expected = '1 with delivery "transactional"'
        yield Fault(path=(*path, "concurrency"), expected=expected, found=str(consumer.concurrency), hint=hint)
    if planning.servers(consumer, tables.kafka) == planning.EMBEDDED:
        expected = 'a real Kafka with delivery "transactional"'
        yield Fault(
            path=(*path, "delivery"), expected=expected, found="the embedded broker", hint="set kafka.bootstrap_servers"
        )
