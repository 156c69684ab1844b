"""The command and the supervisor look for the state folder in the same places, in the same order."""

from __future__ import annotations

import pytest

from supervisor.core.places import candidates, configured, fits, tag

DIR = "/srv/app/.supervisor"
NAME = f"forkwarden-{tag(DIR)}"


def test_the_configured_folder_comes_first_and_lasting_places_before_those_a_reboot_empties() -> None:
    env = {"HOME": "/home/app", "XDG_RUNTIME_DIR": "/run/user/1000", "RUNTIME_DIRECTORY": "/run/app:/run/other"}
    assert candidates(DIR, env, 1000) == (
        DIR,
        f"/home/app/.local/state/{NAME}",
        f"/run/user/1000/{NAME}",
        f"/run/app/{NAME}",
    )
    assert candidates(DIR, {}, 0) == (DIR, f"/run/{NAME}")
    assert candidates(DIR, {}, 1000) == (DIR,)
    assert candidates(DIR, {"XDG_STATE_HOME": "/state/", "HOME": "/home/app"}, 1000)[1] == f"/state/{NAME}"


def test_a_relative_place_or_tmp_is_never_used() -> None:
    assert candidates(DIR, {"XDG_RUNTIME_DIR": "run", "HOME": "."}, 1000) == (DIR,)
    assert not any(place.startswith("/tmp") for place in candidates(DIR, {"TMPDIR": "/tmp", "HOME": "/root"}, 0))


def test_two_projects_have_two_names() -> None:
    assert tag("/a/.supervisor") != tag("/b/.supervisor")
    assert tag("") == "cbf29ce484222325"  # FNV-1a's own test vectors
    assert tag("a") == "af63dc4c8601ec8c"


def test_a_path_is_too_long_by_its_bytes() -> None:
    assert fits("/" + "a" * 90)
    assert not fits("/" + "a" * 91)
    assert not fits("/" + "ż" * 50)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("", ".supervisor"),
        ("[tasks.a]\nenabled = true", ".supervisor"),
        ('[supervisor]\nstate_dir = "state"', "state"),
        ("supervisor = { state_dir = 'state' }", "state"),
        ('[supervisor]\nstate_dir = "${STATE}/x"', "/var/lib/app/x"),
        ('[supervisor]\nstate_dir = "${NONE:-/else}"', "/else"),
        ('[tasks.a]\nstate_dir = "not this"', ".supervisor"),
        ("[supervisor]\nstate_dir = 5", ".supervisor"),
        ("supervisor = 5 # state_dir", ".supervisor"),
        ('[supervisor]\nstate_dir = "state"\nbroken =', "state"),
        ("state_dir broken =", ".supervisor"),
        ('[supervisor]\nstate_dir = "s"\nx = ' + "[" * 100_000, "s"),
    ],
)
def test_the_configured_folder_is_found_in_a_broken_file_too(text: str, folder: str) -> None:
    assert configured(text, {"STATE": "/var/lib/app"}) == folder
