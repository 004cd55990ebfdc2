"""Puts the gateway together: routes, error handlers, middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from services.common.metrics import new_registry
from services.gateway import feedback, health
from services.gateway.backends import open_backends
from services.gateway.config import GatewayConfig
from services.gateway.errors import add_error_handlers
from services.gateway.gateway import Gateway
from services.gateway.metrics import GatewayMetrics
from services.gateway.middleware.body_limit import BodyLimit
from services.gateway.middleware.drain import Drain
from services.gateway.middleware.measure import Measure
from services.gateway.middleware.security_headers import SecurityHeaders
from services.gateway.openai import chat, images, models, transcriptions
from services.gateway.reward import classify, get_reward, text_embeddings
from services.gateway.web import examples, pages, runs, services_overview


@asynccontextmanager
async def open_gateway(
    config: GatewayConfig, registry: CollectorRegistry | None = None
) -> AsyncIterator[Gateway]:
    """Opens the channels to the services; none of them needs to be up."""
    async with open_backends(config) as backends:
        yield Gateway(config, backends, GatewayMetrics(registry or new_registry()))


def create_app(gateway: Gateway) -> FastAPI:
    """The application of one gateway."""
    app = FastAPI(
        title="Attune gateway",
        description="OpenAI-compatible chat, pictures and transcripts of a policy, and feedback.",
        docs_url=None,  # both viewers load scripts from elsewhere
        redoc_url=None,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(Measure, metrics=gateway.metrics),
            Middleware(Drain, draining=gateway.draining),
            Middleware(BodyLimit, max_bytes=gateway.config.max_body_mib << 20),
        ],
    )
    app.state.gateway = gateway
    add_error_handlers(app)
    for part in (chat, images, transcriptions, models, feedback, health):
        app.include_router(part.router)
    for part in (text_embeddings, get_reward, classify):
        app.include_router(part.router)
    for part in (services_overview, runs, examples, pages):
        app.include_router(part.router)
    pages.mount_static_files(app)
    return app
