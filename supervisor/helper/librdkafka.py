"""RUNS IN A HELPER, or in the command that checks: what librdkafka says of its own properties, by ctypes.

No client is made: no thread, no connection. The library prints a table of all properties for its manual;
names and ranges are taken from there, and each value is tried on an empty configuration.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from supervisor.librdkafka import find

_OK = 0
_ERROR_BYTES = 512


class Properties:
    """Loaded at the first question: most configurations set no property."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._ranges)

    def refusal(self, name: str, value: str) -> str | None:
        """Return what is expected instead of `value`, or None when librdkafka takes it."""
        conf = self._library.rd_kafka_conf_new()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        try:
            code = self._library.rd_kafka_conf_set(conf, name.encode(), value.encode(), error, len(error))
        finally:
            self._library.rd_kafka_conf_destroy(conf)
        if code == _OK:
            return None
        allowed = self._ranges.get(name, "")
        return (f"one of {allowed}" if "," in allowed else allowed) or "a value that librdkafka takes"

    @cached_property
    def _library(self) -> Any:
        library = ctypes.CDLL(find())
        library.rd_kafka_conf_new.restype = ctypes.c_void_p
        library.rd_kafka_conf_destroy.argtypes = [ctypes.c_void_p]
        library.rd_kafka_conf_properties_show.argtypes = [ctypes.c_void_p]
        text = ctypes.c_char_p
        library.rd_kafka_conf_set.argtypes = [ctypes.c_void_p, text, text, text, ctypes.c_size_t]
        return library

    @cached_property
    def _ranges(self) -> Mapping[str, str]:
        rows = [[cell.strip() for cell in line.split("|")] for line in self._manual().splitlines()]
        return {row[0]: row[2] for row in rows if len(row) > 4 and row[1] in ("*", "C", "P")}

    def _manual(self) -> str:
        libc = ctypes.CDLL(None)
        libc.fdopen.restype = ctypes.c_void_p
        libc.fclose.argtypes = [ctypes.c_void_p]
        fd = os.memfd_create("librdkafka-properties", os.MFD_CLOEXEC)
        with open(fd, encoding="utf-8", errors="replace") as manual:
            stream = libc.fdopen(os.dup(fd), b"w")
            self._library.rd_kafka_conf_properties_show(stream)
            libc.fclose(stream)
            manual.seek(0)
            return manual.read()


def installed() -> Properties | None:
    """Return None when there is no library to ask: then its properties are not looked at."""
    return Properties() if find() else None
