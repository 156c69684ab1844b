"""RUNS IN A CHILD: sample events, so that the first minute shows something. On the embedded broker only."""

from __future__ import annotations

import json
import random
import uuid

from confluent_kafka import KafkaError, Message, Producer

from tasks.database import state_folder

TOPIC = "notification-events"
SAMPLES = (
    ("order_shipped", "Your order is on its way."),
    ("invoice_ready", "Your invoice can be downloaded."),
    ("password_changed", "Your password was changed. If that was not you, tell us."),
)


def publish(count: int = 3) -> dict[str, int]:
    """Publish a few events. One of them goes out twice, as retrying producers do: it is stored once."""
    # The file is written by the embedded broker alone: demo events cannot reach a real cluster.
    address = json.loads((state_folder() / "broker.json").read_text())["bootstrap_servers"]
    events = [sample() for _ in range(count)]
    send([*events, events[0]], address)
    return {"published": len(events) + 1}


def sample() -> dict[str, str]:
    event, content = random.choice(SAMPLES)
    return {
        "event_id": str(uuid.uuid4()),
        "user_id": f"user-{random.randint(1, 9)}",
        "event": event,
        "content": content,
    }


def send(events: list[dict[str, str]], address: str) -> None:
    """Wait until the broker has all of them. Raises RuntimeError with the first refusal."""
    refused: list[str] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error.str())

    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "message.timeout.ms": 4000})
    for event in events:
        producer.produce(TOPIC, json.dumps(event).encode(), key=event["user_id"], on_delivery=delivered)
    unsent = producer.flush(5)
    if refused or unsent:
        raise RuntimeError(
            f"{len(refused) + unsent} of {len(events)} events not published: {(refused or ['no answer'])[0]}"
        )
