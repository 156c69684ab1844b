"""RUNS ANYWHERE, for the tests of a project: a broker of a test's own, and a consumer that is run over records.

pytest has them as the fixtures `kafka_mock` and `run_consumer`. Nothing of a Kafka client lives in the test's process:
the broker, and the clients that ask it, are in a process of their own, and so is the consumer.
"""

from supervisor.testing_kafka.mock import KafkaMock, MockFailed, Stored
from supervisor.testing_kafka.outcome import Letter, Outcome
from supervisor.testing_kafka.running import NotDone, run_consumer

__all__ = ["KafkaMock", "Letter", "MockFailed", "NotDone", "Outcome", "Stored", "run_consumer"]
