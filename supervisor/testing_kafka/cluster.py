"""RUNS IN THE BROKER'S PROCESS of a test: librdkafka's mock cluster, and the harm that it knows to do."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from supervisor.child.broker.librdkafka import BrokerError, MockCluster

ONLY = 1  # the id of its one broker
SESSION = 1.5  # seconds until a member that was killed is found out; nobody can put it out of its group here
APIS = {
    "Produce": 0,
    "Fetch": 1,
    "ListOffsets": 2,
    "Metadata": 3,
    "OffsetCommit": 8,
    "OffsetFetch": 9,
    "FindCoordinator": 10,
    "JoinGroup": 11,
    "Heartbeat": 12,
    "LeaveGroup": 13,
    "SyncGroup": 14,
    "ApiVersions": 18,
    "InitProducerId": 22,
    "AddPartitionsToTxn": 24,
    "AddOffsetsToTxn": 25,
    "EndTxn": 26,
    "TxnOffsetCommit": 28,
    "ConsumerGroupHeartbeat": 68,
}
_POINTER, _INT, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "broker_set_down": (_INT, [_POINTER, ctypes.c_int32]),
    "broker_set_up": (_INT, [_POINTER, ctypes.c_int32]),
    "broker_set_rtt": (_INT, [_POINTER, ctypes.c_int32, _INT]),
    "push_request_errors_array": (None, [_POINTER, ctypes.c_int16, _SIZE, ctypes.POINTER(ctypes.c_int)]),
    "clear_request_errors": (None, [_POINTER, ctypes.c_int16]),
    "start_request_tracking": (None, [_POINTER]),
    "get_requests": (_POINTER, [_POINTER, ctypes.POINTER(_SIZE)]),
    "request_api_key": (ctypes.c_int16, [_POINTER]),
    "request_destroy_array": (None, [_POINTER, _SIZE]),
}


class Harmable(MockCluster):
    def __init__(self) -> None:
        super().__init__(heartbeat=0.2, session=SESSION)
        for name, (result, arguments) in _SIGNATURES.items():
            try:
                function = getattr(self._library, f"rd_kafka_mock_{name}")
            except AttributeError as e:
                raise BrokerError(f"this librdkafka has no rd_kafka_mock_{name}: upgrade confluent-kafka") from e
            function.restype, function.argtypes = result, arguments
        self._call("start_request_tracking")

    def down(self) -> None:
        self._call("broker_set_down", ONLY)

    def up(self) -> None:
        self._call("broker_set_up", ONLY)

    def delay(self, milliseconds: int) -> None:
        self._call("broker_set_rtt", ONLY, milliseconds)

    def errors(self, api: str, codes: Sequence[int]) -> None:
        """Of the next requests; no codes: of none."""
        if codes:
            self._call("push_request_errors_array", APIS[api], len(codes), (ctypes.c_int * len(codes))(*codes))
        else:
            self._call("clear_request_errors", APIS[api])

    def requests(self, api: str) -> int:
        """Return how many have come."""
        count = _SIZE()
        found = self._call("get_requests", ctypes.byref(count))
        if not found:
            return 0
        each = ctypes.cast(found, ctypes.POINTER(_POINTER))
        keys = [self._library.rd_kafka_mock_request_api_key(each[n]) for n in range(count.value)]
        self._library.rd_kafka_mock_request_destroy_array(found, count.value)
        return keys.count(APIS[api])
