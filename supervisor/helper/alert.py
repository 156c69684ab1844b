"""RUNS IN A HELPER: one alert to its target: a POST of JSON to a URL, or a command with the JSON on its standard input.

Whatever the target does, the helper's own deadline ends it: the parent kills its group, in which the command is too.
What is returned goes into the log, so nothing of a URL stands in it: the path of a webhook is its password.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import IO, Any

from supervisor.core.config import redact
from supervisor.core.escape import line

WITHIN = 8.0  # seconds for the answer; the helper as a whole has a little longer
KEPT = 2048  # bytes of what a command says of its failure
TOLD = 200  # characters of that
SHORT = 8192  # characters of a variable: with a long one no program is started


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the alert to somebody whom nobody named."""

    def redirect_request(self, *args: Any) -> None:
        return None


def post(url: str, body: Mapping[str, Any]) -> str | None:
    """Return None, or why the target did not take it."""
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(_request(url, body), timeout=WITHIN):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP {error.code}" + (", a redirect, which is not followed" if 300 <= error.code < 400 else "")
    except urllib.error.URLError as error:
        return _why(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _why(error)


def run(command: Sequence[str], body: Mapping[str, Any], folder: str) -> str | None:
    """Return None, or why the command did not end with 0. It runs in `folder`; what it prints goes nowhere."""
    name = os.path.basename(command[0])
    with open(os.memfd_create("alert"), "w+b") as file:  # no pipe: nobody has to wait until it is read
        file.write(json.dumps(body).encode())
        file.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=file,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**os.environ, **_environment(body)},
            )
        except (OSError, ValueError) as error:
            return f"{name}: {_why(error)}"
    assert process.stderr is not None
    said = bytearray()
    reader = threading.Thread(target=_keep_the_last, args=(process.stderr, said), daemon=True)
    reader.start()
    code = process.wait()
    reader.join(0.2)  # what it left behind may hold the pipe open
    if not reader.is_alive():
        process.stderr.close()
    if code == 0:
        return None
    how = f"exited with {code}" if code > 0 else f"was killed by signal {-code}"
    last = redact.text(line(bytes(said).decode(errors="replace").strip().rpartition("\n")[2]))[:TOLD]
    return f"{name} {how}" + (f": {last}" if last else "")


def _request(url: str, body: Mapping[str, Any]) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    headers = {"Content-Type": "application/json", "User-Agent": f"forkwarden/{body['supervisor']['version']}"}
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return urllib.request.Request(plain.geturl(), json.dumps(body).encode(), headers, method="POST")


def _environment(body: Mapping[str, Any]) -> dict[str, str]:
    told = {key: str(body[key]) for key in ("kind", "child", "text", "time", "count")}
    return {f"FORKWARDEN_ALERT_{key.upper()}": line(value)[:SHORT] for key, value in told.items()}


def _keep_the_last(stream: IO[bytes], said: bytearray) -> None:
    """Read on to the end, so that a command that says much is not held up."""
    while piece := os.read(stream.fileno(), 65536):
        said[:] = (said + piece)[-KEPT:]


def _why(error: object) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {WITHIN:g} s"
        case ssl.SSLError():
            return f"TLS: {error.reason or type(error).__name__}"
        case OSError(strerror=str(text)):
            return text
        case str():
            return error
    return type(error).__name__  # its text may hold the address
