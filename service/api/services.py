"""The parts that routes work with, made once in the lifespan."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

from starlette.requests import Request

from service.api.answering import Answering
from service.api.large_upload import LargeUpload
from service.api.shared_question import SharedQuestion
from service.common.errors import ChangeUnderWay, RegistryUnavailable
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.common.settings import Settings
from service.processes.pool import WorkerPool
from service.rollout.coordinator import WAIT_SECONDS, Coordinator
from service.rollout.figures import Figures
from service.rollout.follower import Follower
from service.rollout.local_replica import LocalReplica
from service.rollout.peers import Peers
from service.rollout.poller import Poller
from service.rollout.traffic_counts import TrafficCounts
from service.serving.core_pool import CorePool
from service.serving.current_model import CurrentModel
from service.serving.file_predictions import FilePredictions
from service.serving.outcome_log import OutcomeLog
from service.serving.version_list import VersionListing
from service.skew.keeper import Keeper
from service.traffic.comparer import Comparer
from service.training.bootstrap import Bootstrap
from service.training.model_types import ModelTypes
from service.training.queue import TrainingQueue
from service.training.retention import Retention
from service.training.uploads import Uploads

P = ParamSpec("P")
T = TypeVar("T")

_READ_AT_ONCE = 2
_COMPARED_AT_ONCE = 4

QUICK = 2.5
"""Seconds within which MLflow has to answer a small query."""


@dataclass(slots=True)
class Services:
    """The parts of the running service."""

    settings: Settings
    metrics: Metrics
    current_model: CurrentModel
    answering: Answering
    registry: Registry
    local: LocalReplica
    coordinator: Coordinator
    peers: Peers
    follower: Follower
    poller: Poller
    workers: WorkerPool
    training_queue: TrainingQueue
    version_list: VersionListing
    model_types: ModelTypes
    uploads: Uploads
    file_predictions: FilePredictions
    outcome_log: OutcomeLog
    cores: CorePool
    bootstrap: Bootstrap
    retention: Retention
    skew: Keeper
    comparer: Comparer
    traffic_counts: TrafficCounts
    started_at: float = field(default_factory=time.time)
    """Seconds since 1970."""
    draining: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(16, thread_name_prefix="api")
    )

    steps: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="steps")
    )
    """Threads for the steps of other replicas' changes, which never queue behind clients."""
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_READ_AT_ONCE))
    """Held while a worker reads an upload: few at a time, and no thread waits for it."""
    large_upload: LargeUpload = field(default_factory=LargeUpload)
    comparing: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_COMPARED_AT_ONCE)
    )
    """Held while the counts of all replicas are asked for: one that is silent keeps a thread."""
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: set[str] = field(default_factory=set)
    figures_of_others: SharedQuestion[tuple[Sequence[Figures], Sequence[str]]] = field(init=False)
    """What `peers.figures` returns: however many clients watch, it takes one thread."""

    def __post_init__(self) -> None:
        """Prepare what is made of other parts."""
        self.figures_of_others = SharedQuestion(lambda: self.run(self.peers.figures))

    @asynccontextmanager
    async def one_per_key(self, key: str) -> AsyncIterator[None]:
        """Let one request of an Idempotency-Key at a time look for, or begin, its training."""
        while key in self.keys:
            await asyncio.sleep(0.02)
        self.keys.add(key)
        try:
            yield
        finally:
            self.keys.discard(key)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, lambda: function(*args, **kwargs))

    async def change(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change of the model in use in a thread, one at a time; raises ChangeUnderWay.

        Those that wait hold no thread, so that other requests are answered meanwhile.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.changing.acquire()
        except TimeoutError as error:
            raise ChangeUnderWay from error
        try:
            return await self.run(function, *args, **kwargs)
        finally:
            self.changing.release()

    async def step(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a step of another replica's change in a thread kept for such."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.steps, lambda: function(*args, **kwargs))

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask MLflow something small in a thread; raises RegistryUnavailable when it takes long.

        Only for questions: the thread goes on, and a change that it makes late would be denied
        before it was made. Changes are preceded by a question, and bounded by the client's timeout.
        """
        try:
            async with asyncio.timeout(QUICK):
                return await self.run(function, *args, **kwargs)
        except TimeoutError as error:
            raise RegistryUnavailable(f"it did not answer within {QUICK:g} s.") from error


class Lifespan(TypedDict):
    """What the lifespan yields."""

    service: Services


def services_of(request: Request) -> Services:
    """Return the parts of the service that a request is for."""
    return cast(Services, cast(Any, request.state).service)
