"""Puts the policy service together: store, engine, residents, spool, servicer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from models.checkpoint import read_config
from models.checkpoint_error import CheckpointError
from protos.v1 import policy_generator_pb2_grpc
from protos.v1.versions_pb2 import ModelRef
from services.common.decoding.cache import media_decoder
from services.common.errors import AttuneError, FailedPrecondition
from services.common.logs import get_logger
from services.common.server import OpenServicers, Registration
from services.common.version_store import VersionStore
from services.policy.calls import EngineClient
from services.policy.config import PolicyConfig
from services.policy.constraints import Constraints
from services.policy.engine.engine import Engine
from services.policy.engine.pages import PAGE_TOKENS
from services.policy.generate import Generate
from services.policy.loading import VersionLoader
from services.policy.media_cache import MediaCache
from services.policy.metrics import PolicyMetrics
from services.policy.prompts import PromptReader
from services.policy.residents import KIND, Residents
from services.policy.rollout import Rollout
from services.policy.samples import AnswerDecoder
from services.policy.servicer import PolicyServicer
from services.policy.spool import Spool
from services.policy.spool_pusher import SpoolPusher
from services.policy.weights import WeightUpdates

STABLE, BASE = "stable", "base"


def open_servicers(config: PolicyConfig) -> OpenServicers:
    """Opens the service over the versions and the state below `config.home`."""

    @asynccontextmanager
    async def opened(registry: CollectorRegistry) -> AsyncIterator[list[Registration]]:
        metrics = PolicyMetrics(registry)
        store = VersionStore(config.home / "versions")
        await asyncio.to_thread(install_base, store, config.base_checkpoint)
        async with AsyncExitStack() as stack:
            pusher = await stack.enter_async_context(_spooling(config, metrics))
            engine = stack.enter_context(_running(Engine(config.engine_limits, metrics)))
            loader = VersionLoader(config.placement)
            residents = Residents(store, engine, loader, config.kept_retired, config.max_resident)
            media = MediaCache(config.media_cache_mib << 20)
            decode = stack.enter_context(media_decoder(config, registry))
            prompts = PromptReader(config, media, decode)
            constraints = Constraints()
            decoder = AnswerDecoder()
            stack.callback(decoder.close)
            weights = WeightUpdates(config, residents, metrics)
            stack.callback(weights.close)
            client = EngineClient(engine)
            servicer = PolicyServicer(
                Generate(config, client, residents, prompts, decoder, pusher, constraints),
                Rollout(config, client, residents, prompts, decoder, metrics, constraints),
                weights,
                residents,
            )
            _watch(metrics, engine, residents, media, config)
            await _preload(residents, config.max_resident)
            add_to = partial(
                policy_generator_pb2_grpc.add_PolicyGeneratorServicer_to_server, servicer
            )
            yield [Registration("attune.v1.PolicyGenerator", add_to)]

    return opened


def install_base(store: VersionStore, folder: Path) -> None:
    """On the first start: the shipped checkpoint becomes `stable` and `base`."""
    missing = [alias for alias in (STABLE, BASE) if store.alias(KIND, alias).version is None]
    if not missing:
        return
    if not folder.is_dir():
        get_logger(__name__).warning("no base checkpoint", folder=str(folder), missing=missing)
        return
    try:
        _, preprocessor = read_config(folder)
    except CheckpointError as error:
        raise FailedPrecondition(f"the base checkpoint cannot be used: {error}") from error
    manifest = store.put(KIND, folder, preprocessor.fingerprint, {"name": "base"})
    for alias in missing:
        record = store.alias(KIND, alias)
        store.set_alias(KIND, alias, manifest.version, max(record.epoch, record.lease_epoch))


async def _preload(residents: Residents, max_versions: int) -> None:
    """Has what aliases name in memory before the first request, `stable` first.

    What does not fit, or cannot be used, is left to the request that asks for it.
    """
    aliases = sorted(residents.store.aliases(KIND), key=lambda a: (a.alias != STABLE, a.alias))
    first_alias_of = {record.version: record.alias for record in reversed(aliases)}
    for alias in list(reversed(first_alias_of.values()))[:max_versions]:
        try:
            with await residents.lease(ModelRef(alias=alias)):
                pass
        except AttuneError as error:
            get_logger(__name__).error("alias not loaded", alias=alias, reason=str(error))


@contextmanager
def _running(engine: Engine) -> Iterator[Engine]:
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


@asynccontextmanager
async def _spooling(config: PolicyConfig, metrics: PolicyMetrics) -> AsyncIterator[SpoolPusher]:
    """The spool, drained in the background where an address is configured."""
    max_bytes = config.spool_max_mib << 20
    spool = Spool(config.home / "spool", config.spool_max_files, max_bytes, metrics)
    metrics.watch("spool_trajectories", "trajectories on disk", lambda: len(spool))
    metrics.watch("spool_bytes", "their size", lambda: spool.num_bytes)
    pusher = SpoolPusher(spool, config.feedback_address)
    task = asyncio.create_task(pusher.run()) if config.feedback_address else None
    try:
        yield pusher
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _watch(
    metrics: PolicyMetrics,
    engine: Engine,
    residents: Residents,
    media: MediaCache,
    config: PolicyConfig,
) -> None:
    """Gauges that are read when they are scraped."""

    def usage_ratio() -> float:
        num_pages = engine.num_pages
        return engine.num_cached_tokens / (PAGE_TOKENS * num_pages) if num_pages else 0.0

    metrics.watch("running_rows", "rows in batches", lambda: engine.num_running)
    metrics.watch("waiting_samples", "samples not begun", lambda: engine.num_waiting)
    metrics.watch("kv_cache_usage_ratio", "of all pages", usage_ratio)
    metrics.watch("kv_cache_bytes", "memory of the cache", lambda: engine.cache_bytes)
    features = engine.features
    metrics.watch("feature_cache_bytes", "encoded media", lambda: features.num_bytes)
    metrics.watch_total(
        "encoded_units_total", "tiles, windows, frames", lambda: features.num_misses
    )
    metrics.watch_total("cached_units_total", "encoded before", lambda: features.num_hits)
    metrics.watch("media_cache_bytes", "media kept by hash", lambda: media.num_bytes)
    metrics.watch("resident_versions", "versions in memory", lambda: len(residents))
