"""RUNS IN A CHILD: librdkafka's own log lines, folded into ours.

They come out of poll(), so in the thread that owns the client.
"""

from __future__ import annotations

import logging
import re
import time

from supervisor.child.kafka.resets import Resets
from supervisor.core.kafka.folding import Fold

log = logging.getLogger(__name__)

CONSUMER_GROUPS = "ConsumerGroupHeartbeat"  # the request that makes a KIP-848 group
_API_KEY = re.compile(r"ApiKey (\w+) \(\d+\)")
_THREAD = re.compile(r"^\[thrd:[^\]]*\]: ")


class ClientLog:
    """What confluent_kafka takes as `logger`.

    `requests` are those that the broker said it knows: with debug=feature librdkafka logs them on each connection,
    and it has no other way to tell.
    """

    def __init__(self) -> None:
        self._fold = Fold()
        self.requests: set[str] = set()
        self.resets = Resets()

    def log(self, level: int, form: str, *arguments: object) -> None:
        text = str(arguments[-1]) if arguments else form
        if found := _API_KEY.search(text):
            self.requests.add(found[1])
        if level >= logging.INFO:
            self.resets.hear(text)
            for line in self._fold.add(_THREAD.sub("", text), time.monotonic()):
                log.log(level, "%s", line)

    def flush(self) -> None:
        """Show counts whose time is over, also when no new line comes."""
        for line in self._fold.due(time.monotonic()):
            log.warning("%s", line)
