"""RUNS IN A PROCESS OF ITS OWN, that ends soon: which topics a cluster has, asked with the consumer's own settings."""

from __future__ import annotations

from typing import Any

from supervisor.core.kafka.settings import consumer_properties
from supervisor.core.spec import ConsumerSettings


def topics(settings: ConsumerSettings, within: float) -> list[str] | str:
    """Return their names, or why there was no answer. Joins no group, makes no topic."""
    from confluent_kafka import Consumer, KafkaException

    said: list[str] = []
    properties = consumer_properties(settings, bootstrap=settings.bootstrap_servers, client_id="forkwarden-doctor")
    try:
        client: Any = Consumer({**properties, "error_cb": lambda error: said.append(error.str())})
        found = client.list_topics(timeout=within)
    except KafkaException as error:
        client.poll(0)  # has the callback say what went wrong in detail
        return next((text for text in said if "refused" in text or "uthent" in text), "") or error.args[0].str()
    return sorted(found.topics)  # not closed: this process ends now, and closing waits for the broker
