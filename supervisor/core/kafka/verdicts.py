"""What a handler may say of a record instead of "it is done" or "it failed": raised, and imported from `supervisor`.

Any other exception is a failure: tried again in place, then by way of the retry topics, then a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.core import durations


class Verdict(Exception):
    """The base; `why` is shown to people."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Retry(Verdict):
    """Not now: again after so long ("10s", or seconds; none: the usual wait).

    Its partition waits, others flow. It is tried for as long as the handler says so: `record.attempt` counts.
    """

    def __init__(self, after: str | float | None = None, why: str = "") -> None:
        super().__init__(why)
        self.after = durations.parse(after) if isinstance(after, str) else after  # seconds


class DeadLetter(Verdict):
    """No attempt can help: to the dead-letter topic at once."""


class Skip(Verdict):
    """It needs no handling: passed, counted, and shown in `status`."""


class StopPartition(Verdict):
    """Go no further in this partition until somebody has looked and restarted the consumer; others flow."""


class BatchError(Exception):
    """Of a batch only a part failed. Raised, or returned so that resources close as after a success.

    BatchError(3, error): those before index 3 are done, 3 failed, those after it were not tried.
    BatchError(failed={3: error, 7: DeadLetter("no such user")}): all others are done.
    """

    def __init__(
        self, index: int | None = None, cause: Exception | None = None, *, failed: Mapping[int, Exception] | None = None
    ) -> None:
        self.index, self.cause = index, cause
        self.failed = dict(failed or {})
        count = len(self.failed) if index is None else 1
        super().__init__(f"{count} of a batch failed")


@dataclass(frozen=True, slots=True)
class Parts:
    """Which of a batch, by index. What is in neither is done."""

    failed: Mapping[int, Exception]
    untried: range = range(0)


def parts(error: BatchError, count: int) -> Parts:
    """Return what it says of `count` records. Raises ValueError when it says nothing that can be meant."""
    failed = error.failed if error.index is None else {error.index: error.cause or error, **error.failed}
    wrong = [index for index in failed if type(index) is not int or not 0 <= index < count]
    if wrong or not failed:
        found = f"found {wrong[0]!r}" if wrong else "found none"
        raise ValueError(f"BatchError: expected indexes of the batch, from 0 to {count - 1}, {found}")
    if not_errors := [each for each in failed.values() if not isinstance(each, Exception)]:
        raise ValueError(f"BatchError: expected an exception for each index, found {type(not_errors[0]).__name__}")
    return Parts(dict(sorted(failed.items())), range(0) if error.index is None else range(error.index + 1, count))
