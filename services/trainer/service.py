"""Puts the trainer service together: run folders, scheduler, servicer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from protos.v1 import training_orchestrator_pb2_grpc
from services.common.server import OpenServicers, Registration
from services.common.version_store import VersionStore
from services.trainer.config import TrainerConfig
from services.trainer.orchestrator import TrainingOrchestrator
from services.trainer.run_metrics import RunMetrics
from services.trainer.run_store import RunStore
from services.trainer.scheduler import Scheduler


def open_servicers(config: TrainerConfig) -> OpenServicers:
    """Opens the service over `config.home`; ends its workers when it closes."""

    @asynccontextmanager
    async def opened(registry: CollectorRegistry) -> AsyncIterator[list[Registration]]:
        runs = RunStore(config.home / "runs")
        scheduler = Scheduler(config, runs, RunMetrics(registry))
        _watch(registry, scheduler)
        scheduler.recover()
        store = VersionStore(config.home / "versions")
        servicer = TrainingOrchestrator(runs, scheduler, store)
        add_to = partial(
            training_orchestrator_pb2_grpc.add_TrainingOrchestratorServicer_to_server, servicer
        )
        try:
            yield [Registration("attune.v1.TrainingOrchestrator", add_to)]
        finally:
            await scheduler.close()

    return opened


def _watch(registry: CollectorRegistry, scheduler: Scheduler) -> None:
    running = Gauge("attune_trainer_runs_running", "Runs with a live worker", registry=registry)
    running.set_function(lambda: scheduler.num_running)
    queued = Gauge("attune_trainer_runs_queued", "Runs that wait", registry=registry)
    queued.set_function(lambda: scheduler.num_queued)
