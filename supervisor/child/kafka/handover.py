"""RUNS IN A CHILD: what crosses between the thread that owns the client and the main thread, which handles records.

Whole batches go one way, handled records come back. A record carries the lease of its partition: when the
partition is taken away or set back the lease ends, and what belongs to it is dropped on either side.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from confluent_kafka import Message

from supervisor.child.kafka.leases import Hold as Hold
from supervisor.child.kafka.leases import Item as Item
from supervisor.child.kafka.leases import Lease as Lease
from supervisor.core.kafka.gaps import Run, encode
from supervisor.core.kafka.lag import Place
from supervisor.core.kafka.offsets import Prefix

DEPTH = 2  # batches: one in hand, one ready


class Handover:
    """Both sides call it under one lock; nothing in it blocks but the two waits of the owner thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` ends the main thread's wait."""
        self._wake = wake
        self.progressed: Callable[[Place, int], None] = _nothing  # called as soon as a partition has got further
        self._changed = threading.Condition()
        self._batches: deque[list[Item]] = deque()
        self._leases: dict[Place, Lease] = {}
        self._in_hand: dict[Lease, int] = {}  # how many of its records
        self.now: Lease | None = None  # of the one record that is in hand without the lock: see `pass_on`
        self._ahead: set[Lease] = set()  # something was handled behind a record that is open
        self._holds: list[Hold] = []
        self.ended = False  # the main thread takes no more records
        self.handled = 0

    # The owner thread's side.

    def assign(
        self,
        places: Iterable[Place],
        done: Mapping[Place, tuple[int, list[Run]]] | None = None,
        begin: Mapping[Place, int] | None = None,
    ) -> None:
        """`done`: the committed offset of a partition, and what its last owner handled behind it.

        `begin`: where all before is handled though less is committed; that is to be committed.
        """
        with self._changed:
            for place in places:
                base, runs = (done or {}).get(place, (None, []))
                start = (begin or {}).get(place)
                self._let_go(place)
                lease = self._leases[place] = Lease(place, Prefix(start, runs, least=base))
                lease.moved = start is not None

    def withdraw(self, places: Iterable[Place]) -> None:
        """Their records are handled no more; the one in hand may finish, and counts until `forget`."""
        with self._changed:
            for place in places:
                if lease := self._leases.get(place):
                    lease.live = False
        self._wake()

    def wait_until_idle(self, places: Iterable[Place], timeout: float) -> bool:
        """Wait until no record of these partitions is in the main thread's hand."""
        wanted = set(places)
        with self._changed:
            return self._changed.wait_for(lambda: not any(one.place in wanted for one in self._busy()), timeout)

    def _busy(self) -> list[Lease]:
        now = self.now
        return [*self._in_hand] if now is None else [*self._in_hand, now]

    def committable(self, places: Iterable[Place]) -> dict[Place, int]:
        with self._changed:
            return _committable(self._leases[place] for place in places if place in self._leases)

    def untouched(self, places: Iterable[Place]) -> dict[Place, int]:
        """Return where to begin again, of those of which nothing is in hand."""
        with self._changed:
            busy = {lease.place for lease in self._in_hand}
            found = {place: self._leases[place].prefix.position for place in places if place in self._leases}
            return {place: offset for place, offset in found.items() if offset is not None and place not in busy}

    def forget(self, places: Iterable[Place]) -> None:
        with self._changed:
            for place in places:
                self._let_go(place)

    def _let_go(self, place: Place) -> None:
        if lease := self._leases.pop(place, None):
            lease.ours = False

    def offer(self, messages: Sequence[Message]) -> None:
        with self._changed:
            batch = [item for message in messages if (item := self._item(message)) is not None]
            if batch:
                self._batches.append(batch)
        if batch:
            self._wake()

    def _item(self, message: Message) -> Item | None:
        lease = self._leases.get((message.topic() or "", message.partition() or 0))
        if lease is None or not lease.live:
            return None
        offset = message.offset() or 0
        if not lease.prefix.take(offset):
            lease.moved = True
            return None
        return Item(lease, offset, message)

    @property
    def has_room(self) -> bool:
        return len(self._batches) < DEPTH

    @property
    def busy(self) -> bool:
        """Something was read and is not handled yet; between two records of a batch nothing is in hand."""
        return bool(self._in_hand) or self.most_open() > 0

    def wait(self, timeout: float, *, for_room: bool) -> None:
        """Sleep until the main thread ends, has room, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.ended or (for_room and self.has_room), timeout)

    def moved(self) -> dict[Place, int]:
        """Return the offsets to store since the last call."""
        with self._changed:
            moved = [lease for lease in self._leases.values() if lease.moved]
            for lease in moved:
                lease.moved = False  # before the look: what is handled after it is seen next time
            return _committable(moved)

    def notes(self, offsets: Mapping[Place, int]) -> dict[Place, str]:
        """Return, for what stands beside these offsets in Kafka, which records behind them are done."""
        with self._changed:
            leases = [(self._leases[place], offset) for place, offset in offsets.items() if place in self._leases]
            notes = {lease.place: encode(offset, lease.prefix.done()) for lease, offset in leases}
            return {place: note for place, note in notes.items() if note}

    def ahead(self) -> dict[Place, int]:
        """Return the positions behind which something was handled since the last call."""
        with self._changed:
            leases, self._ahead = self._ahead, set()
            found = {lease.place: lease.prefix.position for lease in leases if self._leases.get(lease.place) is lease}
            return {place: offset for place, offset in found.items() if offset is not None}

    def most_open(self) -> int:
        """Return how far the partition is read whose first open record lies back the furthest."""
        with self._changed:
            return max((lease.prefix.open for lease in self._leases.values() if lease.live), default=0)

    def clear(self) -> set[Place]:
        """Return the partitions of which nothing that was read is left to be handled."""
        with self._changed:
            busy = {lease.place for lease in self._in_hand}
            return {place for place, lease in self._leases.items() if not lease.prefix.open} - busy

    def owns(self, items: Iterable[Item]) -> bool:
        """Return whether all were read under a lease that is not over; one that is being withdrawn is not yet."""
        with self._changed:
            return all(self._leases.get(item.lease.place) is item.lease for item in items)

    def lease(self, place: Place) -> Lease | None:
        with self._changed:
            return self._leases.get(place)

    def positions(self) -> dict[Place, int | None]:
        with self._changed:
            return {place: lease.prefix.position for place, lease in self._leases.items()}

    def new_holds(self) -> list[Hold]:
        """Return those of which no record is in hand any more: what ends after a set-back would be handled twice."""
        with self._changed:
            found = [hold for hold in self._holds if hold.lease not in self._in_hand]
            self._holds = [hold for hold in self._holds if hold.lease in self._in_hand]
            return found

    def is_current(self, hold: Hold) -> bool:
        """Return whether the partition is still ours under the lease that the hold ended."""
        with self._changed:
            return self._leases.get(hold.lease.place) is hold.lease

    def reopen(self, hold: Hold) -> None:
        """It was set back: what is read there from now on counts again."""
        with self._changed:
            if self._leases.get(hold.lease.place) is hold.lease:
                self._let_go(hold.lease.place)
                before = hold.lease.prefix
                again = Lease(hold.lease.place, Prefix(before.committable, before.done(), least=before.position))
                self._leases[hold.lease.place] = again

    # The main thread's side.

    def next(self) -> list[Item] | None:
        with self._changed:
            batch = self._batches.popleft() if self._batches else None
            self._changed.notify_all()
            return batch

    def take(self, items: Iterable[Item]) -> list[Item]:
        """Return those that are still ours; until `put_down` they are in hand."""
        with self._changed:
            ours = [item for item in items if item[0].live]
            for lease, count in Counter(map(_lease, ours)).items():
                self._in_hand[lease] = self._in_hand.get(lease, 0) + count
            return ours

    def put_down(self, items: Iterable[Item]) -> None:
        with self._changed:
            for lease, count in Counter(map(_lease, items)).items():
                left = self._in_hand.pop(lease, 0) - count
                if left > 0:
                    self._in_hand[lease] = left
            self._changed.notify_all()

    def pass_on(self) -> None:
        """Tell that `now` is another one.

        It is set without the lock, and only then is looked whether the lease is live; who ends a lease looks at it only
        after that. So one of the two sees what the other did, and whoever waits is told at the next record.
        """
        with self._changed:
            self._changed.notify_all()

    def finish_one(self, lease: Lease, offset: int) -> None:
        """As `finish`, of a record whose partition is gone through in order."""
        self.handled += 1
        if not lease.prefix.finish(offset):
            with self._changed:
                self._ahead.add(lease)
            return
        lease.moved = True
        if lease.ours:
            self.progressed(lease.place, offset + 1)

    def finish(self, items: Iterable[Item]) -> None:
        """They were handled: their offsets may be stored."""
        found: dict[Lease, list[int]] = {}
        for lease, offset, _ in items:
            found.setdefault(lease, []).append(offset)
        with self._changed:
            for lease, offsets in found.items():
                self.handled += len(offsets)
                if not lease.prefix.finish_all(offsets):
                    self._ahead.add(lease)
                    continue
                lease.moved = True
                position = lease.prefix.committable
                if lease.ours and position is not None:
                    self.progressed(lease.place, position)

    def hold(self, item: Item, seconds: float) -> None:
        """Go no further in this partition; the others flow."""
        with self._changed:
            if item.lease.live:
                item.lease.live = False
                self._holds.append(Hold(item.lease, seconds))
        self._wake()  # who goes through a batch without the lock looks up

    def end(self) -> None:
        """Nothing more is taken. The owner thread commits and closes."""
        with self._changed:
            self._batches.clear()
            self._in_hand.clear()
            self.now = None
            self.ended = True
            self._changed.notify_all()


_lease = itemgetter(0)  # of an item


def _nothing(place: Place, offset: int) -> None:
    """Nobody asked."""


def _committable(leases: Iterable[Lease]) -> dict[Place, int]:
    found = {lease.place: lease.prefix.committable for lease in leases}
    return {place: offset for place, offset in found.items() if offset is not None}
