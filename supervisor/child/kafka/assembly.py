"""RUNS IN A CHILD: puts together what handles records, from the settings of the consumer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor.child.kafka.calling import Calling
from supervisor.child.kafka.dead_letters import DeadLetters
from supervisor.child.kafka.filtering import filter_of
from supervisor.child.kafka.handler import Handler
from supervisor.child.kafka.handling import Handling
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.lane_pool import Pool, Tasks, Threads
from supervisor.child.kafka.lanes import Lanes
from supervisor.child.kafka.ledger import Ledger
from supervisor.child.kafka.ledgered import Ledgered
from supervisor.child.kafka.outgoing import Producing
from supervisor.child.kafka.rejection import Rejection
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.retrying import RetryTopics
from supervisor.child.kafka.sieve import Sieve
from supervisor.child.kafka.steps import Steps
from supervisor.child.kafka.straight import straight
from supervisor.child.kafka.transactions import InTransactions, Transactional, transactional_id
from supervisor.child.loader import LoadError
from supervisor.child.runtime import Runtime
from supervisor.core.spec import ConsumerSettings


def ledger(settings: ConsumerSettings, handler: Handler) -> Ledger | None:
    """Raises LoadError when the handler does not take the resource whose database keeps the offsets."""
    if settings.delivery != "ledger":
        return None
    resource = settings.ledger or ""
    if not handler.takes(resource):
        text = f'{settings.handler} has no parameter "{resource}", the resource that `ledger` of its consumer names'
        raise LoadError(text, permanent=True)
    if not handler.takes_context:
        raise LoadError(
            f'{settings.handler} has no parameter "ctx": delivery "ledger" needs ctx.ledger', permanent=True
        )
    return Ledger(settings.group_id, lambda: handler.opened(resource))


def handling(
    rt: Runtime,
    settings: ConsumerSettings,
    handler: Handler,
    handover: Handover,
    report: Report,
    *,
    ledger: Ledger | None,
    bootstrap: Callable[[], str],
    group: Callable[[], Any],
    leaving: Callable[[], bool],
) -> Handling | Lanes:
    """Raises LoadError when the filter cannot be used."""
    producing = Producing(settings, bootstrap)
    retries = RetryTopics(settings, producing)
    topic = settings.dead_letter_topic
    letters = DeadLetters(settings, topic, producing) if topic else None
    rejection = Rejection(rt, settings, handover, report, letters, retries)
    calling: Calling
    if settings.delivery == "transactional":
        out = Transactional(
            settings, bootstrap, transactional_id(settings, rt.spec.name, rt.supervisor.state_dir), group
        )
        calling = InTransactions(out, handover.owns, rt, handler, report, out, retries, filter_of(settings))
    elif ledger is not None:
        calling = Ledgered(ledger, rt, handler, report, producing, retries, filter_of(settings))
    else:
        calling = Calling(rt, handler, report, producing, retries, filter_of(settings))
    steps = Steps(settings, handover, report, rejection)
    sieve = Sieve(settings, handover, report, retries)
    batch = handler.shape.batch
    if settings.concurrency == 1:
        quick = straight(rt, settings, handover, handler, calling, steps, rejection, leaving)
        return Handling(rt, settings, handover, calling, sieve, steps, rejection, leaving, batch=batch, straight=quick)
    pool: Pool = Tasks(calling, rt.wake) if handler.is_async else Threads(calling, rt.wake, settings.concurrency)
    return Lanes(rt, settings, handover, pool, sieve, steps, rejection, leaving, batch=batch)
