"""RUNS IN A PROCESS OF ITS OWN: a member whose process was reaped is put out of its Kafka group.

Nobody else can tell the broker for certain that it is gone; without this its partitions wait for the session
timeout, 45 s by default. It is an ordinary LeaveGroup request and needs the consumer's own right, READ on the group.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from typing import Any

from supervisor.core.kafka.security import Unmappable, options


def evict(bootstrap: str, properties: Mapping[str, Any], group_id: str, member_id: str, deadline: float) -> str:
    """Return "evicted", "unknown member", or why it could not be done; never raises. `deadline`: seconds."""
    if bootstrap == "embedded":
        return "not on the embedded broker: its short session timeout does the same"
    if not member_id:
        return "the process had no member id yet"
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # each refused connection would be a line
    warnings.simplefilter("ignore")  # kafka-python reads its own files in a deprecated way
    try:
        return _remove(bootstrap, options(properties), group_id, member_id, deadline)
    except Unmappable as e:
        return f"cannot: {e} in the client that evicts"
    except Exception as e:
        return f"failed: {type(e).__name__}: {e}"


def _remove(bootstrap: str, security: Mapping[str, Any], group_id: str, member_id: str, deadline: float) -> str:
    from kafka.admin import KafkaAdminClient, MemberToRemove

    end = time.monotonic() + deadline
    within = int(deadline * 1000)
    client = KafkaAdminClient(
        bootstrap_servers=bootstrap.split(","),
        client_id="forkwarden-eviction",
        request_timeout_ms=within,
        bootstrap_timeout_ms=within,
        reconnect_backoff_max_ms=200,
        **security,
    )
    if time.monotonic() > end:
        return f"failed: no answer within {deadline:g} s"
    # not closed: this process ends now, and closing waits for a broker that may be away
    answer = client.remove_group_members(group_id, [MemberToRemove(member_id=member_id)])
    errors = [error for error in answer.values() if getattr(error, "errno", 0)]
    return _word(errors[0]) if errors else "evicted"


def _word(error: Any) -> str:
    name = getattr(error, "__name__", str(error))
    return "unknown member" if name == "UnknownMemberIdError" else f"failed: {name}"
