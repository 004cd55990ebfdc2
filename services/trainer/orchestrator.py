"""The RPCs of the trainer service: start, watch, stop, get and list runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from protos.v1 import training_orchestrator_pb2 as pb
from protos.v1 import training_orchestrator_pb2_grpc
from services.common.dataset import JsonlSource
from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.idempotency import IdempotencyCache
from services.common.version_store import VersionStore
from services.trainer.event_log import EventReader
from services.trainer.kinds import POLICY
from services.trainer.recipe import PretrainRecipe, Recipe, RewardRecipe, read_recipe
from services.trainer.recipe_sections import JsonlData, ModelChoice
from services.trainer.run_folder import RunFolder, RunState
from services.trainer.run_store import RunStore, remember, run_to_proto, set_state
from services.trainer.scheduler import Scheduler

_Context = grpc.aio.ServicerContext[Any, Any]
_POLL_S = 0.1
_DEFAULT_PAGE, _MAX_PAGE = 50, 1000


class TrainingOrchestrator(training_orchestrator_pb2_grpc.TrainingOrchestratorServicer):
    """Errors are raised as our own tree."""

    def __init__(self, runs: RunStore, scheduler: Scheduler, store: VersionStore) -> None:
        self._runs = runs
        self._scheduler = scheduler
        self._store = store
        self._answers = IdempotencyCache()

    async def StartRun(self, request: pb.StartRunRequest, context: _Context) -> pb.Run:
        return await self._answers.run(request.request_id, request, lambda: self._start(request))

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: _Context
    ) -> AsyncIterator[pb.RunEvent]:
        folder = self._runs.get(request.run_id)
        reader = EventReader(folder.events, request.after_sequence)
        while True:
            is_final = folder.record().state.is_final  # read before the events: none is missed
            for event in reader.read():
                yield event
            if is_final:
                return
            await asyncio.sleep(_POLL_S)

    async def StopRun(self, request: pb.StopRunRequest, context: _Context) -> pb.Run:
        return await self._answers.run(request.request_id, request, lambda: self._stop(request))

    async def GetRun(self, request: pb.GetRunRequest, context: _Context) -> pb.Run:
        return run_to_proto(self._runs.get(request.run_id))

    async def ListRuns(self, request: pb.ListRunsRequest, context: _Context) -> pb.ListRunsResponse:
        runs = await asyncio.to_thread(self._runs.newest_first)
        names = [folder.path.name for folder in runs]
        if request.page_token and request.page_token not in names:
            raise InvalidArgument(f"page_token {request.page_token!r} is not one that was given")
        start = names.index(request.page_token) + 1 if request.page_token else 0
        size = min(request.page_size or _DEFAULT_PAGE, _MAX_PAGE)
        page = runs[start : start + size]
        return pb.ListRunsResponse(
            runs=[run_to_proto(folder) for folder in page],
            next_page_token=page[-1].path.name if start + size < len(runs) else "",
        )

    async def _start(self, request: pb.StartRunRequest) -> pb.Run:
        known = self._runs.answered(request)
        if known is not None:
            return run_to_proto(known)
        kind = request.WhichOneof("source")
        if kind is None:
            raise InvalidArgument("set recipe_toml, or resume_run_id to go on with a run")
        self._scheduler.check_room()
        is_new = kind == "recipe_toml"
        folder = self._created(request) if is_new else await self._resumed(request)
        self._scheduler.submit(folder)
        return run_to_proto(folder)

    def _created(self, request: pb.StartRunRequest) -> RunFolder:
        recipe_folder = Path(request.recipe_folder) if request.recipe_folder else None
        recipe = read_recipe(request.recipe_toml, dict(request.overrides), recipe_folder)
        return self._runs.create(recipe, self._initial_version(recipe), request)

    def _initial_version(self, recipe: Recipe) -> str:
        """What the run starts from, pinned now. Checks the data on the way."""
        if isinstance(recipe, PretrainRecipe):
            return ""
        if not isinstance(recipe, RewardRecipe) and isinstance(recipe.data, JsonlData):
            JsonlSource(recipe.data.path, recipe.data.split)
        return resolve(self._store, recipe.initial)

    async def _resumed(self, request: pb.StartRunRequest) -> RunFolder:
        if request.overrides:
            raise InvalidArgument("a resumed run keeps its recipe; overrides must be empty")
        folder = self._runs.get(request.resume_run_id)
        record = folder.record()
        if not record.state.is_final or record.state is RunState.SUCCEEDED:
            raise FailedPrecondition(
                f"{record.run_id} is {record.state}; only a run that was interrupted, stopped or"
                " failed can be resumed"
            )
        await self._scheduler.settled(folder)
        folder.forget_stop()
        folder.write_record(remember(record, request).model_copy(update={"ended_by": ""}))
        set_state(folder, RunState.QUEUED)
        return folder

    async def _stop(self, request: pb.StopRunRequest) -> pb.Run:
        folder = self._runs.get(request.run_id)
        state = folder.record().state
        if self._scheduler.withdraw(folder):
            set_state(folder, RunState.STOPPED, "stopped before it began")
        elif not state.is_final:
            folder.ask_to_stop(request.checkpoint)
        return run_to_proto(folder)


def resolve(store: VersionStore, choice: ModelChoice) -> str:
    """The version that a choice names now. Raises NotFound."""
    if choice.version is not None:
        return store.manifest(POLICY, choice.version).version
    assert choice.alias is not None, "a choice names one of them"
    return store.resolve(POLICY, choice.alias)
