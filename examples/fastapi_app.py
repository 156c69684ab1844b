"""A web application over the shipped pipeline: .venv/bin/uvicorn --app-dir examples fastapi_app:app --workers 4

The supervisor of config.toml starts with it, once for the four web processes, and ends 5 seconds after the last.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from supervisor.fastapi import healthy, lifespan, router
from tasks.database import Notification, session

app = FastAPI(title="Inbox", lifespan=lifespan("config.toml"))
app.include_router(router())  # GET /background/health, GET /background/status


@app.get("/inbox", dependencies=[Depends(healthy("notification_events"))])
def inbox(db: Annotated[Session, Depends(session)]) -> list[str]:
    """Return the latest notifications; 503 while what stores them is unhealthy: better than yesterday's list."""
    latest = select(Notification.content).order_by(Notification.id.desc()).limit(20)
    return list(db.scalars(latest))
