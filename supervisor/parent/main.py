"""RUNS IN THE PARENT: from the exec by `supervisor start` to the exit code.

The plan comes validated, as JSON through a pipe whose number the environment tells, from the process that reads the
configuration meanwhile; the run-id is in the environment of this very exec, so that every descendant bears it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import traceback
from collections.abc import Collection, Iterator

import setproctitle

from supervisor import __version__
from supervisor.console import open_standard_streams
from supervisor.core.errors import Exit, SupervisorError
from supervisor.core.lifecycle.fleet import Fleet
from supervisor.core.paths import Paths
from supervisor.core.spec import Plan, plan_from_json
from supervisor.forked import adopt_orphans
from supervisor.helper.guard import RUN_ID, bears, sweep
from supervisor.helper.write_state import write
from supervisor.logs import typed
from supervisor.parent import keepers, state_folder, statefile
from supervisor.parent import lock as locking
from supervisor.parent.alerts import Alerts
from supervisor.parent.api import Api
from supervisor.parent.around import Around
from supervisor.parent.driver import Driver
from supervisor.parent.events import Events
from supervisor.parent.guarding import Guarding
from supervisor.parent.helpers import Helpers
from supervisor.parent.journal import Journal
from supervisor.parent.listener import Listener
from supervisor.parent.notify import Notify
from supervisor.parent.output import Output
from supervisor.parent.overrides import Toggles
from supervisor.parent.poller import Lane, Poller
from supervisor.parent.preload import PreloadError, preload
from supervisor.parent.process import raise_nofile
from supervisor.parent.reloading import Reloading
from supervisor.parent.runs import Runs
from supervisor.parent.saving import Saving
from supervisor.parent.server import Server
from supervisor.parent.signals import Signals
from supervisor.parent.site import Site, moment
from supervisor.parent.snapshot import iso
from supervisor.parent.stacks import Stacks
from supervisor.parent.strangers import Strangers, end_all
from supervisor.parent.supervisor import Supervisor, notes_of

PLAN_FD = "FORKWARDEN_PLAN_FD"
READER = "FORKWARDEN_READER"
END_WITHIN = 2.0  # seconds for what SIGKILL ends, after a bug of ours


def main() -> int:
    """Return the exit code of the supervisor."""
    try:
        open_standard_streams()
        plan = _take_plan()
        return plan if isinstance(plan, int) else _supervise(plan, os.environ[RUN_ID])
    except PreloadError as error:
        return _complain(error, Exit.USAGE)
    except SupervisorError as error:
        return _complain(error, error.exit)
    except OSError as error:  # no descriptors, no memory, a broken disk
        return _complain(SupervisorError(f"the supervisor cannot start: {error}"), Exit.FAILED)


def _take_plan() -> Plan | int:
    """Return the plan, or the exit code of who should have made one: it has said why there is none."""
    if not {PLAN_FD, READER, RUN_ID} <= os.environ.keys():
        raise SupervisorError("this is the inside of the supervisor; start it by: supervisor start")
    with open(int(os.environ.pop(PLAN_FD)), "rb") as pipe:
        plan = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(int(os.environ.pop(READER)), 0)[1])
    if code < 0:
        raise SupervisorError(f"what reads the configuration was killed by {signal.Signals(-code).name}")
    if not code and not plan:
        raise SupervisorError("the configuration was read, but not handed over: nobody hears what is said about it")
    return code or plan_from_json(json.loads(plan))


def _complain(error: SupervisorError, code: int) -> int:
    try:
        os.write(2, f"error: {error}\n".encode(errors="backslashreplace"))  # sys.stderr is None when it was closed
    except OSError:
        pass  # its reader is gone: the code says it
    return code


def _supervise(plan: Plan, run_id: str) -> int:
    started = moment()
    folder = state_folder.prepare(plan.supervisor.state_dir, os.environ, os.geteuid())
    lock = locking.acquire(folder.paths.lock, run_id, pid=os.getpid(), since=iso(started.wall))
    for earlier in lock.unswept:
        sweep(earlier)
    lock.swept()
    adopt_orphans()
    setproctitle.setproctitle(f"forkwarden: supervisor {plan.supervisor.config_file}")
    nofile = raise_nofile()
    notes = [*folder.notes, *preload(plan)]
    return _build_and_run(plan, folder.paths, run_id, lock, nofile, notes)


def _build_and_run(
    plan: Plan, paths: Paths, run_id: str, lock: locking.Lock, nofile: tuple[int, int], notes: list[str]
) -> int:
    site = _site(plan, paths, run_id, nofile, notes)
    signals = Signals()
    signals.install()
    site.poller.register(signals.fd, Lane.SIGNAL)
    guarding = Guarding(site.poller, run_id, site.say)
    around = Around(site, guarding)

    def ours() -> Collection[int]:
        return {process.pid for process in driver.processes.values()} | site.helpers.pids() | guarding.pids()

    strangers = Strangers(site.poller, ours, lambda pid: bears(pid, f"{RUN_ID}={run_id}".encode()))
    driver = Driver(site.fleet, site.poller, around, strangers)
    around.driver, around.runs, around.alerts = driver, Runs(site, driver), Alerts(site, driver)
    around.stacks = Stacks(site, driver, around.runs)
    reloading, saving = Reloading(site, driver), Saving(site)
    end = _Stop()
    api = Api(site, driver, around.runs, around.stacks, reloading, saving, end)
    uids = frozenset(plan.supervisor.control_uids)
    server = Server(Listener(paths.socket), site.poller, api.answer, control_uids=uids, report=site.say)
    lock.announce(paths.socket)
    api.extra_notes = [*notes_of(site, server, lock), around.alerts.note]
    end.supervisor = Supervisor(
        site=site,
        driver=driver,
        signals=signals,
        strangers=strangers,
        guarding=guarding,
        server=server,
        reloading=reloading,
        saving=saving,
        code=around.code,
        alerts=around.alerts,
        stacks=around.stacks,
        lock=lock,
        keepers=keepers.Keepers(paths.keepers, needed=keepers.needed(os.environ)),
    )
    return _run(end.supervisor)


class _Stop:
    """What a client's stop calls: the supervisor, once it exists."""

    supervisor: Supervisor

    def __call__(self, why: str, now: bool) -> None:
        self.supervisor.stop(why, kill=now)


def _run(supervisor: Supervisor) -> int:
    """Supervise; whatever goes wrong in here, nothing lives on."""
    site, guarding = supervisor.site, supervisor.guarding
    keepers.up(site.console)
    try:
        site.journal.up(time.time())
        site.journal.settle(site.toggled(), time.time())
        _greet(site)
        code = supervisor.run()
        site.helpers.kill_all()
        guarding.dismiss()
    except BaseException:
        code = _own_bug(site, guarding)  # the guard stays: it sweeps once more when we are gone
    _save(site)
    supervisor.server.close()
    supervisor.keepers.close()
    site.journal.down(time.time())
    return code


def _own_bug(site: Site, guarding: Guarding) -> int:
    what = traceback.format_exc()
    end_all(guarding.pids(), within=END_WITHIN)
    last, log = what.rstrip().rpartition("\n")[2], site.paths.log("supervisor")
    text = f"a bug of ours ended the supervisor, and everything with it: {last}; its traceback is in {log}"
    site.say("error", text, event="error", traceback=what)
    return Exit.BUG


def _save(site: Site) -> None:
    """The last toggle may not be on the disk yet; who waited for nothing else waits for this."""
    if (document := site.toggles.unwritten()) is None:
        return
    try:
        write(site.toggles.path, document)
    except OSError as error:
        site.say("error", f"toggles are not saved: {site.toggles.path}: {error.strerror}", event="error")


def _greet(site: Site) -> None:
    children = site.plan.children
    tasks, consumers = (sum(child.kind == kind for child in children) for kind in ("task", "consumer"))
    off = sum(not site.enabled(child) for child in children)
    file = typed(site.plan.supervisor.config_file)
    what = f"{consumers} consumer(s), {tasks} task(s)" + (f", {off} disabled" if off else "")
    text = f"forkwarden {__version__}, {file}: {what}; pid {os.getpid()}, socket {site.paths.socket}"
    site.say("info", text)
    site.events.add("info", "supervisor", text, event="start", pid=os.getpid())
    for note in site.notes:
        site.say("warning", note)


def _site(plan: Plan, paths: Paths, run_id: str, nofile: tuple[int, int], notes: list[str]) -> Site:
    poller, stamp = Poller(), iso(time.time()).replace(":", "")
    console = keepers.console(os.environ)
    toggles, journal = Toggles(paths.overrides, stamp=stamp), Journal(paths.journal, stamp=stamp)
    events = Events(paths.events, stamp=stamp)
    odd = statefile.clear(_expected(plan, paths), stamp)
    return Site(
        plan=plan,
        paths=paths,
        run_id=run_id,
        console=console,
        nofile=nofile,
        output=_output(plan, paths, console),
        poller=poller,
        helpers=Helpers(poller),
        toggles=toggles,
        journal=journal,
        events=events,
        notify=Notify(os.environ, pid=os.getpid()),
        fleet=Fleet(random.Random().random),
        started=moment(),
        notes=[*notes, *toggles.notes, *journal.notes, *events.notes, *odd],
        loaded=time.time(),
    )


def _expected(plan: Plan, paths: Paths) -> Iterator[tuple[str, statefile.Kind]]:
    """What is opened by whoever needs it, and has no reader that looks first."""
    for name in ("supervisor", *(child.name for child in plan.children)):
        yield paths.log(name), "file"
        yield f"{paths.log(name)}.1", "file"
    yield f"{paths.events}.1", "file"
    yield paths.broker, "file"
    yield paths.socket, "socket"
    yield paths.keepers, "FIFO"


def _output(plan: Plan, paths: Paths, console: int) -> Output:
    settings = plan.supervisor
    terminal = os.isatty(console)
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not terminal)
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return Output(
        console,
        paths.log("supervisor"),
        style="json" if as_json else "console",
        level=settings.log_level,
        colour=terminal and not plain,
        max_bytes=settings.log_max_bytes,
        keep=settings.log_keep,
    )
