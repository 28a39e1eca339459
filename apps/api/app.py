"""The application: `create_app(settings)` is an ASGI application that owns its models, threads and jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from apps.api import errors, routes, text_routes
from apps.api.observe import Watched
from apps.api.security import Gate
from apps.api.service import Service
from apps.api.settings import Settings

TEXT = """Sequences with holes are filled by diffusion while what is pinned stays and what must hold holds.
`POST /v1/generate` answers at once, `POST /v1/jobs` later. Every error is `{"error": {"type", "message", "status"}}`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Nothing is loaded before the application's lifespan begins."""
    settings = settings or Settings()
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await run_in_threadpool(service.open)
            yield
        finally:
            await run_in_threadpool(service.close)

    app = FastAPI(title="seqdiff", version="1", description=TEXT, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(routes.router)
    app.include_router(text_routes.router)
    errors.install(app)
    app.add_middleware(Gate, token=settings.token)
    app.add_middleware(Watched, figures=service.figures)
    return app
