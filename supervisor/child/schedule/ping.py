"""RUNS IN A CHILD: tells a monitor that a run begins, is ok, or failed; by the protocol of healthchecks.io.

A thread of its own sends, so that no run waits for a monitor or fails with it. What cannot be sent is tried again a
few times and then dropped; of many that wait the oldest go. Nothing of the address is logged: its path is its password.
"""

from __future__ import annotations

import http.client
import logging
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

from supervisor.core.prose import gist
from supervisor.core.words import short

log = logging.getLogger(__name__)
WITHIN = 10.0  # seconds for an answer
WAITS = (1.0, 5.0)  # before further tries
MOST = 20  # that wait to be sent
TOLD = 500  # characters of an error
_ENDS = {"ok": "", "interrupted": "/log"}  # cut short by a stop or the next slot: no alarm; all else is a failure
_Ping = tuple[str, bytes]  # address and text


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """It would carry the ping to somebody whom nobody named."""

    def redirect_request(self, *args: Any) -> None:
        return None


class Pings:
    """One per process. `began` and `ended` take no time, whatever the monitor does."""

    def __init__(self, url: str, task: str) -> None:
        self._url, self._task = urllib.parse.urlsplit(url), task
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._waiting: deque[_Ping] = deque(maxlen=MOST)
        self._some = threading.Condition()
        self._well = True
        self._leaving = False
        self._thread: threading.Thread | None = None

    def began(self, row: Mapping[str, Any]) -> None:
        self._add("/start", row, "")

    def ended(self, row: Mapping[str, Any]) -> None:
        """Tell how it ended; the record may be of a process before this one."""
        took = row.get("duration")
        said = f"{row['state']}" + (f" in {short(took)}" if isinstance(took, (int, float)) else "")
        error = gist(str(row.get("error") or ""))[:TOLD]
        self._add(_ENDS.get(str(row["state"]), "/fail"), row, f"{said}: {error}" if error else said)

    def close(self, within: float) -> None:
        """Give what waits so many seconds; the process ends after that."""
        with self._some:
            self._leaving = True
            self._some.notify_all()  # no more waiting between tries
        if self._thread is not None:
            self._thread.join(within)

    def _add(self, path: str, row: Mapping[str, Any], text: str) -> None:
        with self._some:
            self._waiting.append((self._address(path, row), text.encode()))
            self._some.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="ping", daemon=True)
            self._thread.start()

    def _address(self, path: str, row: Mapping[str, Any]) -> str:
        """The same id at begin and end, also when another process tells the end: the monitor measures in between."""
        rid = uuid.uuid5(uuid.NAMESPACE_OID, f"{self._task} {row['kind']} {row['slot']:.3f}")
        query = "&".join(part for part in (self._url.query, f"rid={rid}") if part)
        return self._url._replace(path=self._url.path.rstrip("/") + path, query=query, fragment="").geturl()

    def _send_all(self) -> None:
        while True:
            with self._some:
                self._some.wait_for(lambda: self._waiting or self._leaving)
                if not self._waiting:
                    return
                ping = self._waiting.popleft()
            self._say(self._send(*ping))

    def _send(self, address: str, text: bytes) -> str | None:
        """Return None, or why the monitor was not told."""
        for wait in (*WAITS, None):
            problem = self._sent(address, text)
            if problem is None or wait is None or self._leaving:
                return problem
            with self._some:
                self._some.wait_for(lambda: self._leaving, wait)
        raise AssertionError

    def _sent(self, address: str, text: bytes) -> str | None:
        try:
            request = urllib.request.Request(address, text, {"User-Agent": "forkwarden"}, method="POST")
            with self._opener.open(request, timeout=WITHIN):
                return None
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP {error.code}"
        except urllib.error.URLError as error:
            return _why(error.reason)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return _why(error)

    def _say(self, problem: str | None) -> None:
        """Once, until it is well again."""
        if problem is not None and self._well:
            log.warning("ping: the monitor was not told: %s; runs go on", problem, extra={"event": "ping_failed"})
        elif problem is None and not self._well:
            log.info("ping: the monitor answers again", extra={"event": "ping_ok"})
        self._well = problem is None


def _why(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {WITHIN:g} s"
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__  # its own text may hold the address
