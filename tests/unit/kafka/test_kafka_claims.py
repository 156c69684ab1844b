"""Where a partition is begun: never behind a record that nobody has handled, seldom before one that somebody has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core.kafka.claims import Standing, standing
from supervisor.core.kafka.page import NEVER, Cell

CELL = Cell(b"s" * 8, b"t" * 16, 0, 1, 150, 100)


def test_without_a_word_of_anybody_it_is_the_committed_offset() -> None:
    assert standing([], 100) == Standing(1, None)


def test_what_was_handled_behind_the_committed_offset_is_not_handled_again() -> None:
    assert standing([CELL], 100) == Standing(1, 150)
    assert standing([replace(CELL, base=NEVER)], NEVER) == Standing(1, 150), "nothing was committed yet"


def test_the_furthest_word_counts_whoever_said_it() -> None:
    assert standing([replace(CELL, position=170), CELL, replace(CELL, position=120)], 110) == Standing(1, 170)


def test_what_is_committed_counts_when_it_is_further() -> None:
    assert standing([CELL], 150) == Standing(1, None)
    assert standing([CELL], 200) == Standing(1, None), "another host went on"


def test_set_back_by_hand_no_word_counts_and_a_new_generation_begins() -> None:
    assert standing([CELL, replace(CELL, base=20)], 50) == Standing(2, None, rewound=True)
    assert standing([CELL], NEVER) == Standing(2, None, rewound=True), "the group was deleted"


def test_words_of_before_the_setting_back_do_not_come_to_count_again() -> None:
    old = replace(CELL, base=100, position=150)
    new = replace(CELL, generation=2, base=0, position=130)
    assert standing([old, new], 120) == Standing(2, 130)


@dataclass
class World:
    """One partition, three members, and who is frozen goes on by what it knew."""

    committed: int = NEVER
    cells: list[Cell | None] = field(default_factory=lambda: [None] * 3)
    at: list[int | None] = field(default_factory=lambda: [None] * 3)  # where each member's next record is
    generation: list[int] = field(default_factory=lambda: [1] * 3)
    base: list[int] = field(default_factory=lambda: [NEVER] * 3)
    handled: set[int] = field(default_factory=set)  # since the last setting back

    def begin(self, member: int) -> None:
        said = standing([cell for cell in self.cells if cell], self.committed)
        start = max(self.committed, 0) if said.position is None else said.position
        missing = [offset for offset in range(start) if offset not in self.handled]
        assert not missing, f"skipped {missing}"
        self.at[member], self.generation[member], self.base[member] = start, said.generation, self.committed
        if said.rewound:
            self.write(member)

    def handle(self, member: int) -> None:
        position = self.at[member]
        if position is not None:
            self.handled.add(position)
            self.at[member] = position + 1
            self.write(member)

    def write(self, member: int) -> None:
        position = self.at[member]
        assert position is not None
        self.cells[member] = Cell(b"", b"", 0, self.generation[member], position, self.base[member])

    def commit(self, member: int) -> None:
        """The broker takes it only of the owner, and the owner only is further than what is committed."""
        position = self.at[member]
        if position is not None and position > self.committed:
            self.committed = self.base[member] = position
            self.write(member)

    def set_back(self, to: int) -> None:
        """Members are gone then; what they had committed is on the page."""
        if self.committed > to:
            self.at = [None] * 3
            self.committed, self.handled = to, set(range(to))


step = st.tuples(st.sampled_from(["begin", "handle", "handle", "handle", "commit", "set_back"]), st.integers(0, 2))


@settings(max_examples=400)
@given(st.lists(step, max_size=60))
def test_nothing_is_ever_skipped_however_members_take_turns_freeze_and_go_on(steps: list[tuple[str, int]]) -> None:
    world = World()
    for verb, number in steps:
        getattr(world, verb)(number)
    world.begin(0)
