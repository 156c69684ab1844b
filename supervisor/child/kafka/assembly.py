"""RUNS IN A CHILD: puts together what handles records, from the settings of the consumer."""

from __future__ import annotations

from collections.abc import Callable

from supervisor.child.kafka.calling import Calling
from supervisor.child.kafka.dead_letters import DeadLetters
from supervisor.child.kafka.filtering import filter_of
from supervisor.child.kafka.handler import Handler
from supervisor.child.kafka.handling import Handling
from supervisor.child.kafka.handover import Handover
from supervisor.child.kafka.lane_pool import Pool, Tasks, Threads
from supervisor.child.kafka.lanes import Lanes
from supervisor.child.kafka.outgoing import Producing
from supervisor.child.kafka.rejection import Rejection
from supervisor.child.kafka.report import Report
from supervisor.child.kafka.retrying import RetryTopics
from supervisor.child.kafka.sieve import Sieve
from supervisor.child.kafka.steps import Steps
from supervisor.child.runtime import Runtime
from supervisor.core.spec import ConsumerSettings


def handling(
    rt: Runtime,
    settings: ConsumerSettings,
    handler: Handler,
    handover: Handover,
    report: Report,
    *,
    bootstrap: Callable[[], str],
    leaving: Callable[[], bool],
) -> Handling | Lanes:
    """Raises LoadError when the filter cannot be used."""
    producing = Producing(settings, bootstrap)
    retries = RetryTopics(settings, producing)
    topic = settings.dead_letter_topic
    letters = DeadLetters(settings, topic, producing) if topic else None
    rejection = Rejection(rt, settings, handover, report, letters, retries)
    calling = Calling(rt, handler, report, producing, retries, filter_of(settings))
    steps = Steps(settings, handover, report, rejection)
    sieve = Sieve(settings, handover, report, retries)
    batch = handler.shape.batch
    if settings.concurrency == 1:
        return Handling(rt, settings, handover, calling, sieve, steps, rejection, leaving, batch=batch)
    pool: Pool = Tasks(calling, rt.wake) if handler.is_async else Threads(calling, rt.wake, settings.concurrency)
    return Lanes(rt, settings, handover, pool, sieve, steps, rejection, leaving, batch=batch)
