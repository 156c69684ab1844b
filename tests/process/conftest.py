"""RUNS IN PYTEST: the brokers, for every test with real processes."""

from __future__ import annotations

from support.real_kafka import broker, embedded, embedded_kafka, real_kafka

__all__ = ["broker", "embedded", "embedded_kafka", "real_kafka"]
