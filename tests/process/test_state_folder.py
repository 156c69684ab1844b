"""The state folder is our own and closed to others, or it is refused, or it is elsewhere and that is said (R20)."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.client import sockets
from supervisor.core.errors import SupervisorError
from supervisor.parent import state_folder
from supervisor.parent.state_folder import Folder

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away needs root")
NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def _prepare(state: Path, home: Path, uid: int | None = None) -> Folder:
    return state_folder.prepare(str(state), {"HOME": str(home)}, os.geteuid() if uid is None else uid)


def _mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_it_is_made_with_its_folders_closed_to_others_whatever_the_umask(tmp_path: Path, home: Path) -> None:
    before = os.umask(0)
    try:
        folder = _prepare(tmp_path / ".supervisor", home)
    finally:
        os.umask(before)
    assert folder.paths.root == str(tmp_path / ".supervisor")
    assert folder.notes == ()
    for path in (folder.paths.root, folder.paths.logs, folder.paths.crashes, folder.paths.history):
        assert _mode(path) == 0o700
    assert _prepare(tmp_path / ".supervisor", home) == folder


def test_one_that_others_could_read_is_closed_and_that_is_said(tmp_path: Path, home: Path) -> None:
    state = tmp_path / ".supervisor"
    state.mkdir()
    state.chmod(0o755)
    folder = _prepare(state, home)
    assert folder.notes == (f"{state}: others could read it (mode 0755); closed it (0700)",)
    assert _mode(state) == 0o700


@pytest.mark.parametrize("inner", ["", "logs", "history", "crashes"])
def test_one_that_others_may_write_in_is_refused_with_the_command(tmp_path: Path, home: Path, inner: str) -> None:
    state = tmp_path / ".supervisor"
    _prepare(state, home)
    (state / inner).chmod(0o770)
    where = (state / inner).as_posix()
    with pytest.raises(
        SupervisorError, match=rf"others may write in it \(mode 0770, expected 0700\).*chmod 700 {where}"
    ):
        _prepare(state, home)


@ROOT_ONLY
def test_one_of_another_user_is_refused(tmp_path: Path, home: Path) -> None:
    state = tmp_path / ".supervisor"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY, NOBODY)
    with pytest.raises(SupervisorError, match=f"belongs to uid {NOBODY}, the supervisor runs as uid 0; start as that"):
        _prepare(state, home)


@pytest.mark.parametrize("inner", ["", "logs"])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, home: Path, inner: str) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    state = tmp_path / ".supervisor"
    if inner:
        state.mkdir(mode=0o700)
    (state / inner if inner else state).symlink_to(target)
    with pytest.raises(SupervisorError, match="expected a folder, found a symbolic link; remove it"):
        _prepare(state, home)
    assert os.listdir(target) == []


def test_a_file_in_its_place_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / ".supervisor").write_text("")
    with pytest.raises(SupervisorError, match="expected a folder, found something else; remove it"):
        _prepare(tmp_path / ".supervisor", home)


@pytest.fixture
def short_home() -> Iterator[Path]:
    """So short that a socket fits in it, wherever pytest keeps its folders."""
    with tempfile.TemporaryDirectory(prefix="fw-", dir="/dev/shm") as made:
        yield Path(made)


def test_a_path_too_long_for_a_socket_moves_it_and_the_client_looks_there(
    tmp_path: Path, short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / ("x" * 100) / ".supervisor"
    folder = _prepare(state, short_home)
    assert folder.paths.root.startswith(f"{short_home}/.local/state/forkwarden-")
    assert f"because {state}: the path of a socket in it would be longer than 100 bytes" in folder.notes[0]
    assert not state.exists()
    assert _mode(folder.paths.root) == 0o700
    monkeypatch.setenv("HOME", str(short_home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert folder.paths.socket in sockets(str(state))


def test_where_nothing_can_be_made_the_next_place_is_taken_and_a_temporary_one_is_called_so(short_home: Path) -> None:
    env = {"HOME": "/proc/self", "XDG_RUNTIME_DIR": str(short_home)}
    folder = state_folder.prepare("/proc/self/.supervisor", env, os.geteuid())
    assert folder.paths.root.startswith(str(short_home))
    assert "it does not outlive a reboot, toggles neither, because /proc/" in folder.notes[0]


def test_when_there_is_no_place_all_that_were_tried_are_named() -> None:
    with pytest.raises(SupervisorError) as error:
        state_folder.prepare("/proc/none/.supervisor", {"HOME": "/proc/none"}, 1234)
    assert str(error.value).startswith("no place for the state folder; set supervisor.state_dir. Tried /proc/none/.sup")
    assert str(error.value).count("forkwarden-") == 1


def test_what_was_removed_while_running_is_made_again(tmp_path: Path, home: Path) -> None:
    folder = _prepare(tmp_path / ".supervisor", home)
    os.rmdir(folder.paths.logs)
    assert state_folder.restore(folder.paths, os.geteuid())
    assert _mode(folder.paths.logs) == 0o700
    os.rmdir(folder.paths.logs)
    Path(folder.paths.logs).write_text("in the way")
    assert not state_folder.restore(folder.paths, os.geteuid())


def test_the_client_and_the_supervisor_name_a_linked_project_alike(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to("release")
    assert state_folder.resolve(str(tmp_path / "current" / ".supervisor")) == str(tmp_path / "release" / ".supervisor")
    assert sockets(str(tmp_path / "current" / "s")) == sockets(str(tmp_path / "release" / "s"))
