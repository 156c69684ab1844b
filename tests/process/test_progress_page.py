"""The file of the progress page: made by the supervisor, written by members, readable whatever happens to it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.child.kafka.progress import Progress
from supervisor.core.kafka import page
from supervisor.core.kafka.page import CELLS, NEVER
from supervisor.core.paths import Paths
from supervisor.parent import progress

SCOPE, OTHER = b"scope--1", b"scope--2"
TOPICS = {"t": b"topic-id-of-16-b"}
T0, T1 = ("t", 0), ("t", 1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    assert progress.prepare(Paths(str(tmp_path)), "c", 2) is None
    return Paths(str(tmp_path)).progress("c")


def forked(work: Callable[[], object]) -> int:
    """Return the pid of a process of its own, whose locks end with it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def apart(work: Callable[[], object]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(forked(work), 0)[1])


Places = dict[tuple[str, int], int]
opened: list[Progress] = []


def member_of(path: str, member: int) -> Progress:
    """The list keeps it alive: who closes the file loses the lock."""
    opened.append(Progress(path, member))
    return opened[-1]


@pytest.fixture(autouse=True)
def all_closed() -> Iterator[None]:
    yield
    while opened:
        opened.pop().close()


def begun(path: str, member: int, committed: int, *, scope: bytes = SCOPE) -> tuple[Progress, Places]:
    found = member_of(path, member)
    return found, found.begin(scope, TOPICS, {T0: committed, T1: committed}, {T0, T1})


def where(path: str, member: int, committed: int, *, scope: bytes = SCOPE) -> Places:
    found, places = begun(path, member, committed, scope=scope)
    found.close()
    return places


def told(path: str, member: int, position: int, *, committed: int = NEVER) -> Callable[[], None]:
    def work() -> None:
        found, _ = begun(path, member, committed)
        found.handled(T0, position)

    return work


def test_what_a_dead_member_handled_the_next_one_and_its_siblings_know(path: str) -> None:
    assert apart(told(path, 1, 42)) == 0
    assert where(path, 1, NEVER) == {T0: 42}
    assert where(path, 2, 10) == {T0: 42}
    assert where(path, 2, 50) == {}
    assert where(path, 2, 10, scope=OTHER) == {}, "of another cluster or group"


def test_another_topic_of_the_same_name_is_another(path: str) -> None:
    assert apart(told(path, 1, 42)) == 0
    found = member_of(path, 1)
    assert found.begin(SCOPE, {"t": b"another-id-of-16"}, {T0: NEVER}, {T0}) == {}
    assert found.begin(SCOPE, {}, {T0: NEVER}, {T0}) == {}, "its id is not known"
    assert found.begin(SCOPE, TOPICS, {}, {T0}) == {}, "what is committed is not known"


def test_what_is_committed_is_remembered_so_that_setting_back_is_seen(path: str) -> None:
    def work() -> None:
        found, _ = begun(path, 1, NEVER)
        found.handled(T0, 42)
        found.committed({T0: 40, ("t", 9): 7})

    assert apart(work) == 0
    assert where(path, 2, 39) == {}
    assert where(path, 2, 41) == {}, "what was said before is over, also for offsets behind"
    assert apart(told(path, 2, 45, committed=41)) == 0
    assert where(path, 1, 41) == {T0: 45}


def test_a_log_that_begins_anew_begins_anew_here(path: str) -> None:
    def work() -> None:
        found, _ = begun(path, 1, 100)
        found.handled(T0, 120)
        found.handled(T0, 3)

    assert apart(work) == 0
    assert where(path, 2, NEVER) == {T0: 3} or where(path, 2, NEVER) == {}
    assert where(path, 2, 3) == {}


def test_what_is_not_ours_any_more_is_not_written(path: str) -> None:
    found, _ = begun(path, 1, NEVER)
    found.end({T0})
    found.handled(T0, 42)
    found.committed({T0: 42})
    assert where(path, 2, NEVER) == {}


def test_two_processes_never_write_for_one_member(path: str, caplog: pytest.LogCaptureFixture) -> None:
    def hold() -> None:
        assert member_of(path, 1)
        os.write(go, b"x")
        time.sleep(60)

    ready, go = os.pipe()
    pid = forked(hold)
    os.close(go)
    try:
        assert os.read(ready, 1) == b"x"
        second = member_of(path, 1)
        assert not second
        assert "another process writes for this member" in caplog.text
        second.handled(T0, 1)
        assert member_of(path, 2), "another member's is another's"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
    assert member_of(path, 1)


def test_a_full_page_takes_places_of_other_clusters_and_says_when_there_are_none(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    places = {("t", number) for number in range(CELLS)}
    found = member_of(path, 1)
    found.begin(OTHER, TOPICS, dict.fromkeys(places, NEVER), places)
    for place in places:
        found.handled(place, 5)
    found.end(places)
    more = places | {("t", CELLS)}
    found.begin(SCOPE, TOPICS, dict.fromkeys(more, NEVER), more)
    for place in sorted(more):
        found.handled(place, 7)
    assert "remembers 1024 partitions" in caplog.text
    second = member_of(path, 2)
    assert second.begin(SCOPE, TOPICS, dict.fromkeys(more, NEVER), more) == dict.fromkeys(places, 7)


def test_killed_at_any_moment_the_page_holds_one_of_the_last_two_words(path: str) -> None:
    """Real processes, real SIGKILL, no moment in particular."""

    def work() -> None:
        found, known = begun(path, 1, NEVER)
        position = known.get(T0, 0)
        os.write(go, b"x")
        while True:
            position += 1
            found.handled(T0, position)
            os.pwrite(told_, position.to_bytes(8), 0)

    told_ = os.open(f"{path}.told", os.O_RDWR | os.O_CREAT)
    for _ in range(25):
        ready, go = os.pipe()
        pid = forked(work)
        os.close(go)
        assert os.read(ready, 1) == b"x"
        time.sleep(0.002)  # a moment; which one does not matter
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        said, after = where(path, 2, NEVER).get(T0, 0), int.from_bytes(os.pread(told_, 8, 0))
        assert said in (after, after + 1)
    os.close(told_)
    assert said > 25


# The file


def test_it_is_made_with_all_its_room_and_for_its_owner_only(path: str) -> None:
    found = os.stat(path)
    assert found.st_size == page.size(2)
    assert found.st_blocks * 512 >= page.size(2), "its place on the disk is taken"
    assert found.st_mode & 0o777 == 0o600


def test_it_grows_with_the_members_and_keeps_what_it_holds(path: str, tmp_path: Path) -> None:
    assert apart(told(path, 2, 42)) == 0
    assert progress.prepare(Paths(str(tmp_path)), "c", 5) is None
    assert where(path, 5, NEVER) == {T0: 42}
    assert progress.prepare(Paths(str(tmp_path)), "c", 1) is None
    assert os.stat(path).st_size == page.size(5)


def test_what_was_written_before_the_machine_started_again_does_not_count(path: str, tmp_path: Path) -> None:
    assert apart(told(path, 1, 42)) == 0
    with open(path, "r+b") as file:
        file.write(page.header(2, b"another boot----"))
    assert progress.prepare(Paths(str(tmp_path)), "c", 2) is None
    assert where(path, 1, NEVER) == {}


@pytest.mark.parametrize("what", ["garbage", "future", "link", "folder", "fifo"])
def test_what_is_no_page_of_ours_is_put_aside_and_said(path: str, tmp_path: Path, what: str) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    if what == "garbage":
        Path(path).write_bytes(b"\xa5" * 5000)
    elif what == "future":
        with open(path, "r+b") as file:
            file.seek(8)
            file.write(b"\x09")
    else:
        os.unlink(path)
        make = {"link": lambda: os.symlink(target, path), "folder": lambda: os.mkdir(path)}
        make.get(what, lambda: os.mkfifo(path))()
    said = progress.prepare(Paths(str(tmp_path)), "c", 2)
    assert said is not None
    assert "put aside" in said
    assert member_of(path, 1)
    assert os.path.lexists(f"{path}.aside")
    assert target.read_text() == "precious"


def test_without_a_place_for_it_the_consumer_runs_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "progress").write_text("a file where the folder belongs")
    said = progress.prepare(Paths(str(tmp_path)), "c", 2)
    assert said is not None
    assert "after a crash some records come again" in said
    found, known = begun(Paths(str(tmp_path)).progress("c"), 1, NEVER)
    assert not found
    assert known == {}
    assert "no progress page" in caplog.text
    found.handled(T0, 1)


def test_what_cannot_be_put_aside_is_said_with_its_own_reason_and_leaves_nothing_open(
    path: str, tmp_path: Path
) -> None:
    Path(path).write_bytes(b"of another program")
    os.mkdir(path + ".aside")
    before = os.listdir("/proc/self/fd")
    said = progress.prepare(Paths(str(tmp_path)), "c", 2)
    assert said is not None
    assert "Is a directory" in said
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert Path(path).read_bytes() == b"of another program"
