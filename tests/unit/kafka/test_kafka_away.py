"""A database that is away is not the record's fault."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy.exc

from supervisor.core.errors import DependencyAway
from supervisor.core.kafka.away import is_away


def caused(by: BaseException) -> Exception:
    error = RuntimeError("outer")
    error.__cause__ = by
    return error


def looped() -> Exception:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    return first


class Away(psycopg.OperationalError):
    pass


Away.__name__ = "OperationalError"
gone, starting, deadlock = Away("x"), Away("x"), Away("x")
gone.sqlstate, starting.sqlstate, deadlock.sqlstate = "08006", "57P03", "40P01"
invalidated = sqlalchemy.exc.DBAPIError("select 1", {}, Exception(), connection_invalidated=True)


@pytest.mark.parametrize(
    "error",
    [
        DependencyAway("mail"),
        caused(DependencyAway("mail")),
        invalidated,
        psycopg.OperationalError("connection refused"),
        caused(gone),
        starting,
    ],
    ids=lambda error: repr(error)[:40],
)
def test_these_are_waited_for(error: BaseException) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad record"),
        ConnectionRefusedError("an address in the record, for all we know"),
        deadlock,
        sqlalchemy.exc.IntegrityError("insert", {}, Exception()),
        looped(),
    ],
    ids=lambda error: repr(error)[:40],
)
def test_these_are_the_records_own(error: BaseException) -> None:
    assert not is_away(error)
