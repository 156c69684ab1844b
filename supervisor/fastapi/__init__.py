"""RUNS IN A WEB PROCESS: the supervisor beside a FastAPI application, started once for all of its web processes.

app = FastAPI(lifespan=lifespan("config.toml"))
app.include_router(router())                                 # GET /background/health and /background/status
@app.get("/inbox", dependencies=[Depends(healthy("notifications"))])      # 503 while that child is unhealthy
"""

from supervisor.fastapi.app import healthy, lifespan, router

__all__ = ["healthy", "lifespan", "router"]
