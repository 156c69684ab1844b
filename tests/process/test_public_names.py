"""What user code imports from `supervisor` is there, and cheap."""

from __future__ import annotations

import subprocess
import sys

import supervisor
from supervisor.core.kafka.verdicts import BatchError, Retry


def test_all_of_them_are_public_and_cost_no_client_library() -> None:
    assert supervisor.Retry is Retry
    assert supervisor.BatchError is BatchError
    code = (
        "import sys; from supervisor import BatchError, DeadLetter, DependencyAway, Record, Retry, Skip, StopPartition;"
        "print([m for m in ('confluent_kafka', 'pydantic', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
