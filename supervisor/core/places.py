"""Where the state folder may lie, in the order in which the places are tried. Names only, nothing is touched.

The command finds a running supervisor by the same list, so it depends on nothing but the configured folder,
the user and the environment. Places that outlive a reboot come first: toggles must (promise 6).
Never /tmp: anyone may put something there before us.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_SOCKET_PATH = 100  # of the 107 bytes of sun_path: the name that is used while binding is longer than the last
DEFAULT = ".supervisor"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_LINE = re.compile(r"""^[ \t]*state_dir[ \t]*=[ \t]*["']([^"'\n]*)["']""", re.MULTILINE)


def configured(text: str, env: Mapping[str, str]) -> str:
    """Return state_dir as config.toml (`text`) says it, ${VAR} put in; the default when it says nothing.

    One key, nothing validated: with a broken file the running supervisor must still be found.
    """
    value = _state_dir(text) if "state_dir" in text else None
    return _VARIABLE.sub(lambda found: env.get(found[1]) or found[2] or "", value or DEFAULT)


def candidates(state_dir: str, env: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """Return folders, the configured one first. `state_dir` is absolute and its parents are no symbolic links."""
    name = f"forkwarden-{tag(state_dir)}"
    home = env.get("XDG_STATE_HOME") or _under(env.get("HOME"), ".local/state")
    runtime = env.get("RUNTIME_DIRECTORY", "").split(":")[0]  # systemd gives a list
    bases = [home, env.get("XDG_RUNTIME_DIR"), "/run" if uid == 0 else None, runtime]
    others = [f"{base.rstrip('/')}/{name}" for base in bases if base and base.startswith("/")]
    return (state_dir, *dict.fromkeys(others))


def fits(folder: str) -> bool:
    """Whether a socket can have a name in this folder."""
    return len(f"{folder}/ctl.sock".encode(errors="surrogateescape")) <= MAX_SOCKET_PATH


def tag(state_dir: str) -> str:
    """64 bits of FNV-1a in hexadecimal: a name for the folder, not a secret; hashlib would cost `status` its import."""
    value = 0xCBF29CE484222325
    for byte in state_dir.encode(errors="surrogateescape"):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def _under(base: str | None, rest: str) -> str | None:
    return f"{base.rstrip('/')}/{rest}" if base else None


def _state_dir(text: str) -> str | None:
    import tomllib  # only for the few who moved the folder: `status` must be quick

    try:
        table = tomllib.loads(text).get("supervisor")
    except (ValueError, RecursionError):  # somebody is editing it just now
        found = _LINE.search(text)
        return found[1] if found else None
    value = table.get("state_dir") if isinstance(table, dict) else None
    return value if isinstance(value, str) else None
