"""RUN BY scheduling.py, in the peers' environment: one scheduler with one job every second, as its users write it.

python scheduling_peers.py KIND FILE SECONDS_OF_WORK
"""

from __future__ import annotations

import os
import sys
import time

KIND, FILE, WORK = sys.argv[1], sys.argv[2], float(sys.argv[3])


def job() -> None:
    now = time.time()
    with open(FILE, "a") as file:
        file.write(f"{now}\n")
    time.sleep(WORK)


def schedule_sleep_1() -> None:
    """The loop of its documentation."""
    import schedule

    schedule.every(1).seconds.do(job)
    while True:
        schedule.run_pending()
        time.sleep(1)


def schedule_idle_seconds() -> None:
    """The loop that its FAQ offers for those who care."""
    import schedule

    schedule.every(1).seconds.do(job)
    while True:
        time.sleep(max(0.0, schedule.idle_seconds() or 0.0))
        schedule.run_pending()


def apscheduler() -> None:
    from datetime import UTC, datetime, timedelta

    from apscheduler.schedulers.blocking import BlockingScheduler  # type: ignore[import-not-found]

    scheduler = BlockingScheduler(timezone="UTC")
    half = datetime.fromtimestamp(int(time.time()) + 2, UTC) + timedelta(seconds=0.5)
    scheduler.add_job(job, "interval", seconds=1, start_date=half)
    scheduler.start()


def celery() -> None:
    """Beat inside one worker that takes one at a time, over files: no broker to wait for."""
    from celery import Celery  # type: ignore[import-not-found]

    folder = FILE + ".celery"
    for name in ("q", "p"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    app = Celery("bench", broker="filesystem://")
    app.conf.broker_transport_options = {
        "data_folder_in": f"{folder}/q",
        "data_folder_out": f"{folder}/q",
        "processed_folder": f"{folder}/p",
        "control_folder": f"{folder}/control",  # by default one in the current folder, shared with others
        "polling_interval": 0.01,
    }
    app.task(name="job")(job)
    app.conf.beat_schedule = {"job": {"task": "job", "schedule": 1.0}}
    app.conf.beat_schedule_filename = f"{folder}/beat"
    app.worker_main(["worker", "--beat", "--pool=solo", "--loglevel=ERROR", "--without-gossip", "--without-mingle"])


{
    "sleep_1": schedule_sleep_1,
    "idle_seconds": schedule_idle_seconds,
    "apscheduler": apscheduler,
    "celery": celery,
}[KIND]()
