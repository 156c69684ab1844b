"""One supervisor per state folder: whatever lies in the place of the lock, and however many start at once."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from supervisor.core.errors import AlreadyRunning, SupervisorError
from supervisor.parent.lock import Lock, acquire, read_lock

SINCE = "2026-11-25T14:00:00.000Z"


def _acquire(path: Path | str, run_id: str = "run-1") -> Lock:
    return acquire(str(path), run_id, pid=os.getpid(), since=SINCE)


def test_the_second_one_is_told_who_was_first(tmp_path: Path) -> None:
    lock = _acquire(tmp_path / "lock")
    with pytest.raises(AlreadyRunning) as error:
        _acquire(tmp_path / "lock")
    assert str(error.value) == f"already running: pid {os.getpid()} since {SINCE}; see: supervisor status"
    lock.release()
    _acquire(tmp_path / "lock").release()


def test_a_lock_that_is_held_but_says_nothing_yet_is_still_a_lock(tmp_path: Path) -> None:
    lock = _acquire(tmp_path / "lock")
    os.truncate(tmp_path / "lock", 0)
    with pytest.raises(AlreadyRunning, match="another supervisor is just starting here"):
        _acquire(tmp_path / "lock")
    lock.release()


def test_the_file_is_closed_to_others_and_tells_pid_run_and_socket(tmp_path: Path) -> None:
    lock = _acquire(tmp_path / "lock")
    lock.announce("/x/ctl.sock")
    assert stat.S_IMODE(os.stat(tmp_path / "lock").st_mode) == 0o600
    told = {"pid": os.getpid(), "run_id": "run-1", "since": SINCE, "socket": "/x/ctl.sock", "unswept": []}
    assert read_lock(str(tmp_path / "lock")) == told
    assert not os.get_inheritable(lock.fd)
    lock.release()


def test_the_run_ids_of_earlier_lives_are_kept_until_they_are_swept(tmp_path: Path) -> None:
    for number in range(3):  # two that were killed before their sweep was done
        lock = _acquire(tmp_path / "lock", f"run-{number}")
        lock.release()
    lock = _acquire(tmp_path / "lock", "run-3")
    assert lock.unswept == ("run-0", "run-1", "run-2")
    lock.swept()
    lock.release()
    lock = _acquire(tmp_path / "lock", "run-4")
    assert lock.unswept == ("run-3",)
    lock.release()


@pytest.mark.parametrize(
    "content", ["", "4711", "{", "[]", '{"pid": 1}', '{"run_id": 5, "unswept": [1, null]}', "\0" * 100, "x" * 100_000]
)
def test_whatever_an_unlocked_file_says_it_is_taken_and_the_pid_in_it_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    lock = _acquire(tmp_path / "lock")
    assert lock.unswept == ()
    assert json.loads((tmp_path / "lock").read_text())["run_id"] == "run-1"
    lock.release()


def test_a_symbolic_link_is_refused_and_its_target_untouched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(SupervisorError, match=r"lock: is a symbolic link: a lock file is never followed elsewhere"):
        _acquire(tmp_path / "lock")
    assert (tmp_path / "precious").read_text() == "precious"
    assert read_lock(str(tmp_path / "lock")) is None


def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SupervisorError, match=r"folder: is a directory: expected a lock file"):
        _acquire(tmp_path / "folder")
    with pytest.raises(SupervisorError, match=r"fifo: expected a regular file as lock"):
        _acquire(tmp_path / "fifo")
    with pytest.raises(SupervisorError, match=r"cannot be opened as lock file: No such file or directory"):
        _acquire(tmp_path / "none" / "lock")


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert read_lock(str(tmp_path / "lock")) is None
    (tmp_path / "lock").write_text("garbage")
    assert read_lock(str(tmp_path / "lock")) is None


def test_a_full_disk_does_not_open_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = _acquire(tmp_path / "lock")
    assert "No space left on device" in (lock.problem or "")
    with pytest.raises(AlreadyRunning):
        _acquire(tmp_path / "lock")
    lock.release()


def test_a_lock_file_that_was_removed_is_made_and_locked_again(tmp_path: Path) -> None:
    lock = _acquire(tmp_path / "lock")
    assert lock.check() == "held"
    os.unlink(tmp_path / "lock")
    assert lock.check() == "renewed"
    assert lock.check() == "held"
    with pytest.raises(AlreadyRunning):
        _acquire(tmp_path / "lock")
    assert read_lock(str(tmp_path / "lock"))
    lock.release()


def test_who_finds_anothers_lock_in_its_place_has_lost(tmp_path: Path) -> None:
    first = _acquire(tmp_path / "lock", "first")
    os.unlink(tmp_path / "lock")
    second = _acquire(tmp_path / "lock", "second")
    assert first.check() == "lost"
    assert second.check() == "held"
    first.release()
    second.release()


def test_while_the_folder_is_away_the_lock_is_held(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    lock = _acquire(folder / "lock")
    (folder / "lock").unlink()
    folder.rmdir()
    assert lock.check() == "held"
    lock.release()


def test_of_many_that_start_at_once_exactly_one_lives(tmp_path: Path) -> None:
    for round_ in range(10):
        path = tmp_path / f"lock{round_}"
        assert _outcomes([_starter(path) for _ in range(8)]) == [-signal.SIGKILL] + [7] * 7


def _starter(path: Path) -> int:
    """The one that has the lock sleeps until it is killed; the others leave with 7."""
    pid = os.fork()
    if pid == 0:
        try:
            held = _acquire(path)  # bound: the descriptor must not be closed
            signal.pause()
            held.release()
        except AlreadyRunning:
            os._exit(7)
        finally:
            os._exit(1)
    return pid


def _outcomes(pids: list[int]) -> list[int]:
    """Wait for all but one; then that one is the owner: end it."""
    codes, left = [], set(pids)
    while len(left) > 1:
        pid, status = os.wait()
        left.discard(pid)
        codes.append(os.waitstatus_to_exitcode(status))
    (owner,) = left
    os.kill(owner, signal.SIGKILL)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(owner, 0)[1]))
    return sorted(codes)


def test_a_file_that_is_removed_between_open_and_lock_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, path, removed = fcntl.flock, tmp_path / "lock", []

    def late(fd: int, operation: int) -> None:
        if not removed:
            removed.append(path.unlink())
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    lock = _acquire(path)
    assert removed
    assert lock.check() == "held"
    lock.release()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _acquire(tmp_path / "lock")
            os.write(say, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(say)
    assert os.read(ready, 1) == b"!"
    os.close(ready)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _acquire(tmp_path / "lock").release()


@pytest.mark.parametrize("call", ["lstat", "fstat"])
def test_an_error_that_says_nothing_of_the_file_loses_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def broken(*_: object) -> os.stat_result:
        raise OSError(5, "Input/output error")

    lock = _acquire(tmp_path / "lock")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, broken)
        assert lock.check() == "held"
    assert lock.check() == "held"
    lock.release()


def test_what_stands_in_the_file_moves_no_cursor(tmp_path: Path) -> None:
    lock = _acquire(tmp_path / "lock")
    (tmp_path / "lock").write_text(json.dumps({"pid": 7, "since": "\x1b[2Jnow\n" + "x" * 100}))
    with pytest.raises(AlreadyRunning) as refused:
        _acquire(tmp_path / "lock")
    lock.release()
    shown = "\\x1b[2Jnow " + "x" * 29
    assert str(refused.value) == f"already running: pid 7 since {shown}; see: supervisor status"
