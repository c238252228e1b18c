"""The application put together: the only place that knows everything."""

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from service.api.answering import Answering
from service.api.application import RequestScope, Service, fastapi_application
from service.api.predictions import Predictions
from service.api.same_origin import SameOriginMiddleware
from service.api.services import Lifespan, Services
from service.auth.api_keys import ApiKeys
from service.common.data_folder import DataFolder
from service.common.errors import ServiceError, StartError
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.common.settings import Settings, read_settings
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.rollout.coordinator import Coordinator
from service.rollout.follower import Follower
from service.rollout.hold import Hold
from service.rollout.last_served import LastServed
from service.rollout.local_replica import LocalReplica
from service.rollout.peers import DiscoveredPeers, NoPeers
from service.rollout.poller import Poller
from service.rollout.referee import Referee
from service.rollout.traffic_collector import TrafficCollector
from service.rollout.traffic_counts import TrafficCounts
from service.schema.decoder import Limits
from service.serving.core_pool import CorePool
from service.serving.current_model import CurrentModel
from service.serving.file_predictions import FilePredictions
from service.serving.loaded_versions import LoadedVersions
from service.serving.loader import Loader
from service.serving.outcome_log import OutcomeLog
from service.serving.version_list import VersionListing
from service.skew.collector import SkewCollector
from service.skew.keeper import Keeper
from service.skew.store import Store
from service.skew.tallies import Tallies
from service.skew.tally import Tally
from service.traffic.comparer import Comparer
from service.traffic.comparison import comparison_of
from service.training.bootstrap import Bootstrap
from service.training.executor import Executor
from service.training.executors import executor_of
from service.training.heartbeats import ORPHAN_SECONDS
from service.training.model_types import ModelTypes
from service.training.queue import TrainingQueue
from service.training.retention import Retention
from service.training.services import Limits as TrainingLimits
from service.training.services import TrainingServices
from service.training.uploads import Uploads

if TYPE_CHECKING:
    from service.grpc.server import GrpcServer
    from service.kubernetes.cluster import Cluster

logger = logging.getLogger(__name__)

_THREADS = 2
_MOST_FOLLOWED = 32
"""Jobs that one replica follows at one time, each by a thread."""
_ALONE = "alone"
"""The name of the counts of a service without other replicas, which the next one goes on with."""
RETRY_SECONDS = 5.0
"""Between two attempts to finish starting."""


def create_app(
    settings: Settings | None = None,
    registry: Registry | None = None,
    workers: WorkerPool | None = None,
    cluster: "Cluster | None" = None,
) -> Service:
    """Make the application; raises StartError where it cannot start.

    Tests pass all; production passes none.
    """
    settings = read_settings() if settings is None else settings
    keys = None if settings.api_keys_file is None else ApiKeys(settings.api_keys_file)
    folder = DataFolder(settings.data_dir)
    if registry is None:
        from service.registry.mlflow_registry import MlflowRegistry

        registry = MlflowRegistry(settings.mlflow_uri, settings.data_dir)
    metrics = Metrics()
    current_model = CurrentModel()
    hold = Hold()
    workers = WorkerPool(settings.children_idle_seconds) if workers is None else workers
    executor = executor_of(settings, registry, workers, folder.uploads, cluster)
    services = _services(
        settings, registry, workers, executor, metrics, current_model, hold, folder
    )
    predictions = Predictions(services.answering)
    grpc_server = _grpc_server(services, keys)
    stopping = threading.Thread(target=services.training_queue.stop, name="drain", daemon=True)

    def drain() -> None:
        if not services.draining:
            services.draining = True
            stopping.start()
            if grpc_server is not None:
                grpc_server.drain()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[Lifespan]:
        hold.bind(asyncio.get_running_loop())
        services.workers.warm()
        await services.run(_begin, services)
        if grpc_server is not None:
            await grpc_server.start()
        yield {"service": services}
        services.draining = True
        if grpc_server is not None:
            await grpc_server.stop()
        services.stopping.set()
        services.poller.stop()
        services.version_list.close()
        await services.run(services.comparer.stop)
        await services.run(services.skew.stop)
        await services.run(services.training_queue.stop)
        services.workers.close()
        services.answering.close()
        services.cores.close()
        services.coordinator.close()
        services.steps.shutdown(wait=False, cancel_futures=True)
        services.pool.shutdown(wait=False, cancel_futures=True)
        services.registry.close()
        folder.close()

    app = fastapi_application(lifespan, bool(settings.replicas))
    rest = RequestScope(app, metrics)
    origins = settings.cors_origins
    if keys is not None:
        return Service(predictions, rest, metrics, drain, keys, origins)
    guarded = SameOriginMiddleware(rest, settings.host, metrics, origins)
    return Service(predictions, guarded, metrics, drain, cors_origins=origins)


def _services(
    settings: Settings,
    registry: Registry,
    workers: WorkerPool,
    executor: Executor,
    metrics: Metrics,
    current_model: CurrentModel,
    hold: Hold,
    folder: DataFolder,
) -> Services:
    identifier = uuid.uuid4().hex[:12]
    cores = CorePool()
    tallies = Tallies(settings.skew_rows_per_second)

    def counted_in_use() -> Tally | None:
        in_use = current_model.in_use
        return None if in_use is None else in_use.predictor.tally

    collector = SkewCollector(tallies, counted_in_use)
    metrics.registry.register(collector)
    loader = Loader(
        registry,
        workers,
        folder.cache,
        Limits(settings.max_rows, settings.max_json_depth),
        settings.allow_pickle,
        metrics.classifiers_lost.inc,
        cores,
        kept=settings.versions_loaded,
        tallies=tallies,
    )
    versions = LoadedVersions(
        registry, loader, metrics, settings.versions_loaded, settings.versions_loaded_bytes
    )
    answering = Answering(
        current_model,
        versions,
        hold,
        metrics,
        settings.max_body_bytes,
        settings.max_in_flight,
        threads=_THREADS,
    )
    last_served = LastServed(folder.last_served)
    local = LocalReplica(identifier, registry, loader, current_model, metrics, last_served, hold)
    key = settings.peer_key.get_secret_value()
    peers = DiscoveredPeers(settings.replicas, identifier, key) if settings.replicas else NoPeers()
    coordinator = Coordinator(local, peers, registry, metrics)
    follower = Follower(local, coordinator, registry, metrics)
    comparer = Comparer(lambda: comparison_of(current_model))
    counts = TrafficCounts(identifier, comparer.compared, peers)
    referee = Referee(local, coordinator, counts, metrics)
    metrics.registry.register(
        TrafficCollector(current_model, lambda: local.newest, comparer.compared, referee.judgement)
    )

    def lead() -> None:
        follower.poll()
        referee.poll()

    poller = Poller(local, coordinator, settings.poll_seconds, metrics, lead=lead)
    limits = TrainingLimits(
        min(settings.training_pods, _MOST_FOLLOWED)
        if executor.outlives
        else settings.trainings_at_once,
        settings.trainings_queued,
        JobLimits(
            settings.training_seconds, settings.training_memory_bytes, settings.training_disk_bytes
        ),
    )
    training_services = TrainingServices(
        registry, workers, coordinator, current_model, limits, executor
    )
    training_queue = TrainingQueue(identifier, training_services, metrics)
    most = executor.limits(limits.each)
    uploads = Uploads(registry, workers, folder.uploads, settings, most)
    return Services(
        settings=settings,
        metrics=metrics,
        current_model=current_model,
        answering=answering,
        registry=registry,
        local=local,
        coordinator=coordinator,
        peers=peers,
        follower=follower,
        poller=poller,
        workers=workers,
        training_queue=training_queue,
        version_list=VersionListing(registry, loader),
        model_types=ModelTypes(workers, folder.work),
        uploads=uploads,
        file_predictions=FilePredictions(workers, settings),
        outcome_log=OutcomeLog(registry),
        cores=cores,
        bootstrap=Bootstrap(settings.starter_model, registry, coordinator, uploads, training_queue),
        skew=Keeper(
            tallies,
            Store(registry, identifier if settings.replicas else _ALONE),
            refresh=collector.refresh,
        ),
        comparer=comparer,
        traffic_counts=counts,
        retention=Retention(registry, settings.keep_failed_days, settings.keep_datasets_days),
    )


def _grpc_server(services: Services, keys: ApiKeys | None) -> "GrpcServer | None":
    """Return the server of gRPC, where it has a port; raises StartError without its package."""
    if not services.settings.grpc_port:
        return None
    try:
        from service.grpc.server import GrpcServer
    except ModuleNotFoundError as error:
        if error.name != "grpc":
            raise
        raise StartError(
            "SERVICE_GRPC_PORT needs the package grpcio, which is not installed. Install "
            "requirements-grpc.lock, or leave the setting out."
        ) from error
    return GrpcServer(services, keys)


def _begin(services: Services) -> None:
    """Serve what is in use before the first request is taken; the rest goes on beside it.

    With other replicas the first request may be theirs, and is needed for that.
    """
    if not services.settings.replicas:
        services.poller.poll()
    services.version_list.start()
    services.skew.start()
    services.comparer.start()
    services.training_queue.start()
    threading.Thread(target=_catch_up, args=(services,), name="starter", daemon=True).start()
    services.poller.start()


def _catch_up(services: Services) -> None:
    """Close what an earlier process left open, make the starter model, and then sweep.

    Tried until it is done: MLflow may come up after this service.
    """
    # Alone in a data folder, every open training is one that a killed process left.
    alone = not services.settings.mlflow_uri
    while not services.stopping.wait(0):
        try:
            services.training_queue.heartbeats.close_orphans(0 if alone else ORPHAN_SECONDS)
            if services.bootstrap.step():
                break
        except ServiceError as error:
            logger.warning("%s", error)
        services.stopping.wait(RETRY_SECONDS)
    services.retention.run(services.stopping)
