"""Is it the record that is bad, or something the handler needs that is away?

A bad record ends in the dead-letter topic; while a database is away, every record would. So the consumer waits.
"""

from __future__ import annotations

from supervisor.core.errors import DependencyAway

_DEPTH = 10  # links of a chain of causes
_PSYCOPG = ("OperationalError", "AdminShutdown", "CannotConnectNow")


def is_away(error: BaseException) -> bool:
    """Return whether the error, or one it came from, says that a dependency is away."""
    seen: BaseException | None = error
    for _ in range(_DEPTH):
        if seen is None:
            return False
        if isinstance(seen, DependencyAway) or _connection_lost(seen):
            return True
        seen = seen.__cause__
    return False


def _connection_lost(error: BaseException) -> bool:
    """SQLAlchemy says so itself; psycopg by the SQLSTATE, which is missing when it could not even connect.

    By attribute, not by class: neither library is imported for this.
    """
    if getattr(error, "connection_invalidated", False) is True:
        return True
    if type(error).__name__ not in _PSYCOPG or not hasattr(error, "sqlstate"):
        return False
    state = error.sqlstate
    return state is None or str(state).startswith(("08", "57P"))  # connection exceptions; shutdown, starting up
