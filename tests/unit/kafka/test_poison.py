"""Three deaths at one position condemn the record; nothing else does."""

from __future__ import annotations

from supervisor.core.kafka import poison
from supervisor.core.kafka.poison import Death, Poison


def death(offset: int, partition: int = 0, topic: str = "t") -> Death:
    return Death(topic, partition, offset, "killed by SIGSEGV")


def test_the_third_death_at_the_same_record_condemns_it() -> None:
    memory = Poison()
    assert [memory.died(death(7)) for _ in range(3)] == [False, False, True]
    assert poison.quarantine_of(memory.orders()) == {("t", 0, 7): "killed its process 3 times: killed by SIGSEGV"}


def test_after_two_deaths_the_partition_is_taken_record_by_record() -> None:
    memory = Poison()
    memory.died(death(7), batch=500)
    assert poison.one_by_one_of(memory.orders()) == set()
    memory.died(death(7), batch=500)
    assert poison.one_by_one_of(memory.orders()) == {("t", 0)}


def test_a_batch_that_killed_twice_is_condemned_for_the_record_in_it_that_kills_next() -> None:
    memory = Poison()
    memory.died(death(100), batch=500)
    memory.died(death(100), batch=500)
    assert memory.died(death(342))
    assert list(poison.quarantine_of(memory.orders())) == [("t", 0, 342)]
    assert poison.one_by_one_of(memory.orders()) == set()


def test_deaths_at_other_positions_begin_anew() -> None:
    memory = Poison()
    for offset in (1, 1, 600, 600, 2):  # 600 is no record of a batch that began at 1
        assert not memory.died(death(offset), batch=500)
    assert poison.quarantine_of(memory.orders()) == {}


def test_single_records_are_no_batch_and_condemn_no_neighbour() -> None:
    memory = Poison()
    assert [memory.died(death(offset)) for offset in (100, 100, 101)] == [False, False, False]


def test_an_earlier_record_of_the_batch_is_another_position() -> None:
    memory = Poison()
    memory.died(death(100), batch=10)
    memory.died(death(100), batch=10)
    assert not memory.died(death(99), batch=10)


def test_partitions_and_topics_are_counted_apart() -> None:
    memory = Poison()
    for partition, topic in ((0, "t"), (1, "t"), (0, "u"), (0, "t"), (1, "t"), (0, "u")):
        assert not memory.died(death(5, partition, topic))


def test_living_members_are_told_the_newest_only_because_it_must_fit_a_frame() -> None:
    memory = Poison()
    for offset in (1, 2):
        for _ in range(poison.DEATHS):
            memory.died(death(offset))
    assert list(poison.quarantine_of(memory.newest())) == [("t", 0, 2)]


def test_the_memory_is_bounded_and_the_oldest_goes_first() -> None:
    memory = Poison()
    for offset in range(poison.MOST + 1):
        for _ in range(poison.DEATHS):
            memory.died(death(offset))
    assert len(memory.quarantined) == poison.MOST
    assert ("t", 0, 0) not in memory.quarantined
