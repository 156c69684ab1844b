"""RUNS IN THE COMMAND of tests/conformance, and in pytest: short random lives of a real supervisor, on record.

Children of every kind of good and bad behaviour; killed, frozen, toggled, restarted, reloaded at random; the
supervisor itself frozen; and one, two or three SIGTERMs at the end. A seed draws all of it, but not the machine's time.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

from chaos.shared import Breach, Life, life
from conformance.judge import Tally, judge
from support.eventually import eventually

PLANT = Path(__file__).with_name("plant")
ROOT = Path(__file__).resolve().parents[2]
WITHIN = 60.0  # seconds to end
HEAD = """
[supervisor]
grace_period = "1s"
stable_after = "1s"
backoff = {{ base = "50ms", max = "400ms", jitter = 0.5 }}
heartbeat = {{ interval = "200ms", timeout = "2s" }}
crash_loop = {{ count = 4, window = "10s" }}
on_crash_loop = "{loop}"
watch = false
"""
TASK = '\n[tasks.{name}]\nrun = "{name}:tick"\nevery = "{every}ms"\nrun_on_start = true\n{more}'
CONSUMER = """
[consumers.reader]
handler = "reader:store"
topics = ["t"]
group_id = "g"
auto_offset_reset = "earliest"
processes = 2
"""
KINDS = {
    "good": "def tick():\n    pass\n",
    "long": "import time\n\n\ndef tick():\n    time.sleep(0.4)\n",
    "leaves": "import subprocess\n\n\ndef tick():\n    subprocess.Popen(['setsid', '-f', 'sleep', '60'])\n",
    "dies": "import os, time\n\n\ndef tick():\n    time.sleep(0.2)\n    os._exit(3)\n",
    "never": "raise RuntimeError('always')\n",
    "wrong": "def tock():\n    pass\n",
    "stuck": "import time\n\n\ndef tick():\n    while True:\n        time.sleep(0.01)\n",
    "deaf": "import signal, time\n\n\ndef tick():\n"
    "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n    time.sleep(30)\n",
    "fat": "held = []\n\n\ndef tick():\n    held.append(b'x' * (40 << 20))\n",
}
MORE = {"stuck": 'timeout = "500ms"\nkill_after = "0s"\n', "fat": 'max_rss = "120MiB"\nmax_rss_hard = "250MiB"\n'}
HARM = ("kill", "kill", "stop", "term", "toggle", "toggle", "restart", "reload", "broken reload", "freeze", "pause")


def live(seed: int) -> Tally:
    """Raises AssertionError when the record and the core part, or nothing comes to its end."""
    folder = Path(tempfile.mkdtemp(prefix="conformance-"))
    try:
        return _live(folder, random.Random(seed))
    except AssertionError as error:
        kept = folder.with_name(f"conformance-{seed}-breach")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock", "keepers"))
        raise Breach(f"seed {seed}: {error}; what there was is in {kept}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _live(folder: Path, rng: random.Random) -> Tally:
    record = folder / "record"
    plant = {"PYTHONPATH": f"{PLANT}:{ROOT / 'tests'}:{ROOT}", "FORKWARDEN_RECORD": str(record)}
    kinds = rng.sample(list(KINDS), rng.randint(2, 4))
    kafka = rng.random() < 0.25
    with life(_config(rng, kinds, kafka=kafka), "", folder, **plant) as living:
        for name in kinds:
            living.project.write(f"{name}.py", KINDS[name])
        living.project.write("reader.py", "def store(record):\n    pass\n")
        living.supervisor.start()
        eventually(lambda: living.ask("GET", "/v1/status")[0] == 200, within=WITHIN)
        end = time.monotonic() + rng.uniform(1.0, 4.0) + (3.0 if kafka else 0.0)  # a group takes its time
        while living.supervisor.running and time.monotonic() < end:
            _harm(living, rng, kinds, kafka=kafka)
            time.sleep(rng.uniform(0.0, 0.5))
        _end(living, rng)
    return judge(record)


def _config(rng: random.Random, kinds: list[str], *, kafka: bool) -> str:
    made = HEAD.format(loop=rng.choice(("hold", "hold", "fatal", "exit")))
    for name in kinds:
        made += TASK.format(name=name, every=rng.choice((100, 300, 1000)), more=MORE.get(name, ""))
    return made + (CONSUMER if kafka else "")


def _harm(living: Life, rng: random.Random, kinds: list[str], *, kafka: bool) -> None:
    name, harm = rng.choice([*kinds, *(["reader:1", "reader:2"] if kafka else [])]), rng.choice(HARM)
    match harm:
        case "kill" | "stop" | "term":
            numbers = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}
            living.signal(living.pids(name), numbers[harm])
        case "toggle":
            verb = rng.choice(("enable", "disable", "disable"))
            living.ask("POST", f"/v1/children/{name}/{verb}", {"now": rng.random() < 0.3})
        case "restart":
            living.ask("POST", f"/v1/children/{name}/restart", {"now": rng.random() < 0.3})
        case "reload" | "broken reload":
            some = rng.sample(kinds, rng.randint(1, len(kinds)))
            living.project.configure(
                _config(rng, some, kafka=kafka) + ("\n[tasks.x]\n" if harm == "broken reload" else "")
            )
            living.signal([living.supervisor.pid], signal.SIGHUP)
        case "freeze":
            living.signal([living.supervisor.pid], signal.SIGSTOP)
            time.sleep(rng.uniform(0.1, 2.5))
            living.signal([living.supervisor.pid], signal.SIGCONT)


def _end(living: Life, rng: random.Random) -> None:
    """A crash loop may have ended it before."""
    if living.supervisor.running:
        living.supervisor.terminate()
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        time.sleep(rng.uniform(0.0, 0.3))
        if living.supervisor.running:
            living.supervisor.terminate()
    code = living.supervisor.wait(WITHIN)
    if code not in (0, 1) or "a bug of ours" in living.supervisor.stderr:
        raise Breach(f"it ended with {code}\n{living.supervisor.stderr[-4000:]}")
    living.wait_gone(20.0)
