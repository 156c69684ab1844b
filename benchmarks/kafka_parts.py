"""What kafka.py measures of each product, one function a part. Each has a broker of its own."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import kafka_duplicates
import kafka_recovery
from kafka_products import Consumer, Failed, Product
from processes import busy, memory, wait_for

from support.real_kafka import RealKafka

Numbers = dict[str, Any]
Found = dict[str, Numbers]
PARTITIONS = 4
VALUE = b'{"n":"%08d","kind":"order.placed","at":"2026-11-25T12:00:00Z","text":"%s"}'
TEXT = b"x" * 122  # with it a value has 200 bytes
WARM = 0.1  # of the records, or so many seconds, before the clock starts
PEERS_SESSION = 6000  # milliseconds, where duplicates are counted: they do not depend on it, and the wait would be long
BETWEEN = 8  # seconds between two kills of a peer
FROZEN = 12.0  # seconds in which a frozen broker's consumers may leave
RETURN = 90.0  # seconds until the records of a dead process flow again


def machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in cpus.splitlines() if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, Python {platform.python_version()}"


@contextmanager
def broker(folder: Path, *, default_timeouts: bool = True) -> Iterator[RealKafka]:
    folder.mkdir(parents=True, exist_ok=True)
    server = RealKafka(folder, default_timeouts=default_timeouts)
    try:
        yield server
    finally:
        server.stop()


def fill(server: RealKafka, topic: str, records: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 20, "batch.num.messages": 5000})
    for number in range(records):
        while True:
            try:
                producer.produce(topic, VALUE % (number, TEXT), partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


# -- throughput


def throughput(folder: Path, products: Sequence[Product], options: argparse.Namespace) -> Found:
    """Records a second and CPU seconds for a million of them; memory beside the json handler."""
    found: Found = {each.title: {} for each in products}
    with broker(folder) as server:
        topic = server.create(PARTITIONS)
        fill(server, topic, options.records)
        for handler in options.handlers.split(","):
            for processes in (1, 2) if handler != "noop" else (1,):
                seen: dict[str, list[Numbers]] = {each.title: [] for each in products}
                for number in range(options.rounds if processes == 1 else 1):
                    for each in products if number == 0 else [each for each in products if _is_close(each)]:
                        seen[each.title].append(_speed(server, folder, each, topic, handler, processes, options))
                for title, numbers in seen.items():
                    found[title] |= _medians(f"{handler} ×{processes}", numbers)
    return found


def _is_close(product: Product) -> bool:
    """Where a tenth decides, one measurement is not enough."""
    return product.ours or product.kind.startswith(("poll", "consume"))


def _medians(name: str, numbers: Sequence[Numbers]) -> Numbers:
    if failed := [each["failed"] for each in numbers if "failed" in each]:
        return {name: failed[0]}
    middle = {key: statistics.median(each[key] for each in numbers) for key in numbers[0]}
    found: Numbers = {name: middle}
    return found | {key: middle[key] for key in ("pss", "uss") if name == "json ×1"}


def _speed(
    server: RealKafka,
    folder: Path,
    product: Product,
    topic: str,
    handler: str,
    processes: int,
    options: argparse.Namespace,
) -> Numbers:
    with Consumer(product, folder, server.bootstrap, topic, handler, processes=processes) as consumer:
        try:
            found = _measured(consumer, options)
        except Failed as error:
            found = {"failed": str(error)}
    shown = ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else value for key, value in found.items())
    print(f"  {handler} ×{processes} {product.title}: {shown}", flush=True)
    return found


def _measured(consumer: Consumer, options: argparse.Namespace) -> Numbers:
    consumer.wait_all_handle()
    consumer.go()
    wait_for(lambda: consumer.handled >= WARM * options.records, 0.5, every=0.001)
    everyone = consumer.everyone()
    before, first, began = _cpu(everyone), consumer.handled, time.monotonic()
    wait_for(lambda: consumer.handled >= (1 - WARM) * options.records, options.seconds, every=0.001)
    count, took = consumer.handled - first, time.monotonic() - began
    if not count:
        raise Failed(f"no record in {took:.0f} s: {consumer.tail()}")
    held = [memory(pid) for pid in consumer.pids()]
    return {
        "rate": count / took,
        "cpu": 1e6 * (_cpu(everyone) - before) / count,
        "pss": statistics.median(each.pss for each in held),
        "uss": statistics.median(each.uss for each in held),
    }


def _cpu(pids: Sequence[int]) -> float:
    return sum(busy(pid).seconds for pid in pids)


# -- the end


def ends(folder: Path, products: Sequence[Product], options: argparse.Namespace) -> Found:
    """SIGTERM in the middle of the work: seconds until it is gone, and records that come twice after that."""
    found: Found = {}
    with broker(folder) as server:
        topic = server.create(PARTITIONS)
        fill(server, topic, 100_000)
        for each in products:
            with Consumer(each, folder, server.bootstrap, topic, "slow") as consumer:
                try:
                    found[each.title] = _end(server, consumer)
                except Failed as error:
                    found[each.title] = {"end": f"failed: {error}"}
            print(f"  {each.title}: {found[each.title]}", flush=True)
    return found


def _end(server: RealKafka, consumer: Consumer) -> Numbers:
    consumer.wait_all_handle()
    wait_for(lambda: consumer.handled >= 1000, 20.0, every=0.01)
    began = time.monotonic()
    consumer.terminate()
    ended = consumer.wait_ended(30.0)
    if not ended:
        return {"end": "not within 30 s"}
    kafka = server.kafka()
    offsets = [kafka.committed(consumer.group, consumer.topic, partition) for partition in range(PARTITIONS)]
    return {
        "end": max(at for at, _ in ended) - began,
        "end_code": ended[0][1],
        "end_twice": consumer.handled - sum(max(0, offset) for offset in offsets),
    }


def frozen(folder: Path, products: Sequence[Product], options: argparse.Namespace) -> Found:
    """SIGTERM while the broker is frozen (SIGSTOP): all of them at once, for it is one broker."""
    with broker(folder) as server, ExitStack() as stack:
        topic = server.create(PARTITIONS)
        fill(server, topic, 100_000)
        running = {}
        for each in products:
            consumer = stack.enter_context(Consumer(each, folder, server.bootstrap, topic, "slow"))
            running[each.title] = consumer
        found = _without_the_failed(running, "frozen")
        with server.frozen():
            ended = _left_within(running)
    for title in running:
        seconds, code = ended.get(title, (f"> {FROZEN:.0f}", None))
        found[title] = {"frozen": seconds, "frozen_code": code}
        print(f"  {title}: {found[title]}", flush=True)
    return found


def _left_within(running: dict[str, Consumer]) -> dict[str, tuple[float, int]]:
    """SIGTERM to all; return seconds and exit code of those that leave in time."""
    began = time.monotonic()
    for consumer in running.values():
        consumer.terminate()
    ended: dict[str, tuple[float, int]] = {}
    while time.monotonic() < began + FROZEN:
        for title, consumer in running.items():
            if title not in ended and (seen := consumer.ended()) is not None:
                ended[title] = time.monotonic() - began, seen
        time.sleep(0.01)
    return ended


# -- kill -9


def kills(folder: Path, products: Sequence[Product], options: argparse.Namespace) -> Found:
    """Every timeout at its default. Of two processes one is killed: seconds until its replacement handles a record."""
    found: Found = {}
    if options.kills:
        with broker(folder / "ours") as server:
            given = argparse.Namespace(processes=2, kills=options.kills, every=10.0, classic=False)
            seen = kafka_recovery.measured(server, folder / "project", given)
        took = [each.replacement for each in seen if each.replacement == each.replacement]
        for each in products:
            if each.ours and not each.batch:
                found[each.title] = {"back": statistics.median(took), "back_max": max(took), "back_of": len(took)}
    peers = [each for each in products if not each.ours]
    with broker(folder / "peers") as server, ExitStack() as stack:
        topic = server.create(PARTITIONS)
        running = {}
        with kafka_recovery.producing(server.bootstrap, topic):
            for each in peers:
                made = Consumer(each, folder, server.bootstrap, topic, "slow", processes=2)
                running[each.title] = stack.enter_context(made)
            found |= _without_the_failed(running, "back")
            time.sleep(10)  # a group at rest
            found |= _killed_once(running)
    return found


def _without_the_failed(running: dict[str, Consumer], key: str) -> Found:
    """Wait until all processes of each handle records; take out those that never do, and return why."""
    found: Found = {}
    for title, consumer in list(running.items()):
        try:
            consumer.wait_all_handle()
        except Failed as error:
            print(f"  {title}: {error}", flush=True)
            found[title] = {key: "failed"}
            del running[title]
    return found


def _killed_once(running: dict[str, Consumer]) -> Found:
    """All peers at once: they nearly only wait."""
    killed = {}
    for title, consumer in running.items():
        victim = consumer.pids()[0]
        killed[title] = time.monotonic(), {*consumer.pids()}
        consumer.kill(victim)
    found: Found = {}

    def all_are_back() -> bool:
        for title, (at, old) in killed.items():
            if title not in found and set(running[title].pids()) - old:
                found[title] = {"back": time.monotonic() - at, "back_of": 1}
                print(f"  {title}: {found[title]}", flush=True)
        return len(found) == len(killed)

    wait_for(all_are_back, RETURN, every=0.02)
    return found | {title: {"back": f"> {RETURN:.0f}"} for title in killed if title not in found}


def duplicates(folder: Path, products: Sequence[Product], options: argparse.Namespace) -> Found:
    """10 × kill -9 of two processes by turns: what is lost, and what comes twice."""
    kills, records = (10, 20_000) if options.kills else (2, 4000)
    found: Found = {}
    with broker(folder / "ours") as server:
        for each in products:
            if each.ours:
                mode = "at_least_once, batch" if each.batch else "at_least_once"
                found[each.title] = _ours_killed(server, folder, mode, kills, records)
        ledger = _ours_killed(server, folder, "ledger", kills, records)
        found[products[0].title] |= {f"ledger_{key}": value for key, value in ledger.items()}
    peers = [each for each in products if not each.ours]
    with broker(folder / "peers", default_timeouts=False) as server:
        for some in (peers[::2], peers[1::2]):
            found |= _killed_by_turns(server, folder, some, kills)
    return found


def _ours_killed(server: RealKafka, folder: Path, mode: str, kills: int, records: int) -> Numbers:
    given = argparse.Namespace(kills=kills, records=records)
    seen = kafka_duplicates.run(server, folder / mode.replace(", ", "-"), mode, given)
    return {"lost": seen.lost, "twice": seen.twice}


def _killed_by_turns(server: RealKafka, folder: Path, products: Sequence[Product], kills: int) -> Found:
    """A kill every 8 s: the group is together again by then, at the short session that is set for the peers."""
    topic, sent = server.create(PARTITIONS), 1000 * BETWEEN * kills
    fill(server, topic, sent)
    found: Found = {}
    with ExitStack() as stack:
        running = {}
        for each in products:
            made = Consumer(each, folder, server.bootstrap, topic, "slow", processes=2, session=PEERS_SESSION)
            running[each.title] = stack.enter_context(made)
        for number in range(kills):
            time.sleep(BETWEEN)  # part of what is measured
            for consumer in running.values():
                if alive := consumer.pids():
                    consumer.kill(alive[number % len(alive)])
        wait_for(lambda: all(len(set(each.traced())) >= sent for each in running.values()), 90.0, every=2.0)
        for title, consumer in running.items():
            found[title] = _judged(consumer.traced(), sent)
            print(f"  {title}: {found[title]}", flush=True)
    return found


def _judged(traced: Sequence[int], sent: int) -> Numbers:
    """Lost is what was passed: what nobody has come to yet is not."""
    times = Counter(traced)
    reached: dict[int, int] = {}
    for number in times:
        reached[number % PARTITIONS] = max(number, reached.get(number % PARTITIONS, 0))
    lost = [n for n in range(sent) if not times[n] and n < reached.get(n % PARTITIONS, 0)]
    return {"lost": len(lost), "twice": sum(times.values()) - len(times)}
