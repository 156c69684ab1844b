"""RUNS IN A CHILD: librdkafka's mock cluster, which every confluent-kafka wheel carries, called through ctypes.

Its header calls it experimental, so each symbol is looked up before anything starts, and one that is missing is
named. It listens on 127.0.0.1 only, keeps the last 5 MB of a partition, and begins empty.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.librdkafka import find

_NAME = "rd_kafka_mock_"
_SIGNATURES: Mapping[str, tuple[object, list[object]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_set_apiversion": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_int16, ctypes.c_int16, ctypes.c_int16],
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
    "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_set_group_consumer_session_timeout_ms": (None, [ctypes.c_void_p, ctypes.c_int]),
}
_PACE = 0.001  # a request that comes while the last one is being answered is seen a second later (measured)
_EXISTS = 36  # TOPIC_ALREADY_EXISTS
_PRODUCER = 0  # rd_kafka_type_t: the handle that owns the cluster


class BrokerError(SupervisorError):
    """The embedded broker cannot run here."""


class MockCluster:
    """One broker, alive until the process ends."""

    def __init__(self, *, heartbeat: float = 0.3, session: float = 2.5) -> None:
        """Seconds: a member that died is found out after `session`."""
        self._library = _load()
        error = ctypes.create_string_buffer(512)
        conf = self._library.rd_kafka_conf_new()
        # errors only: this handle is a client without a broker, and would warn of that
        self._library.rd_kafka_conf_set(conf, b"log_level", b"3", error, len(error))
        handle = self._library.rd_kafka_new(_PRODUCER, conf, error, len(error))
        if not handle:
            raise BrokerError(f"the embedded broker did not start: {error.value.decode(errors='replace')}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(handle, 1)
        if not self._cluster:
            raise BrokerError("the embedded broker did not start: librdkafka gave no reason")
        self._call("group_initial_rebalance_delay_ms", 0)  # its default lets the first member wait for 3 s
        self._call("set_group_consumer_heartbeat_interval_ms", int(heartbeat * 1000))
        self._call("set_group_consumer_session_timeout_ms", int(session * 1000))

    @property
    def bootstrap_servers(self) -> str:
        return str(self._call("cluster_bootstraps").decode())

    def create_topic(self, name: str, partitions: int) -> None:
        """One that is there already, for a producer was quicker, stays as it is."""
        time.sleep(_PACE)
        if (error := self._call("topic_create", name.encode(), partitions, 1)) not in (0, _EXISTS):
            raise BrokerError(f'the embedded broker refused topic "{name}" with {partitions} partitions: error {error}')

    def without(self, api_key: int) -> None:
        """Act as an older broker, which does not know this request."""
        self._call("set_apiversion", api_key, -1, -1)

    def _call(self, name: str, *arguments: object) -> Any:
        return getattr(self._library, _NAME + name)(self._cluster, *arguments)


def _load() -> ctypes.CDLL:
    path = find()
    if path is None:
        raise BrokerError("the embedded broker needs librdkafka, which comes with the wheels of confluent-kafka")
    library = ctypes.CDLL(path)
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError as e:
            raise BrokerError(
                f"this librdkafka has no {name}: the embedded broker needs confluent-kafka >= 2.13"
            ) from e
        function.restype, function.argtypes = result, arguments
    return library
