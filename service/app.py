"""The application put together: the only place that knows everything."""

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.api.application import RequestScope, Service, fastapi_application
from service.api.predict import Predict
from service.api.services import Lifespan, State
from service.auth.api_keys import Keys
from service.common.data_folder import DataFolder
from service.common.domain import Registry
from service.common.errors import ServiceError
from service.common.metrics import Metrics
from service.common.settings import Settings, read_settings
from service.processes.limits import JobLimits
from service.processes.pool import Children
from service.rollout.coordinator import Alone, Replicas
from service.rollout.hold import Gate
from service.rollout.last_served import LastUse
from service.rollout.peers import NamedPeers
from service.rollout.poller import Poller
from service.rollout.replica import LocalReplica
from service.schema.decoder import Limits
from service.serving.core_pool import Cores
from service.serving.current_model import Slot
from service.serving.file_predictions import Bulk
from service.serving.loader import Loader
from service.serving.version_list import Listing
from service.training.bootstrap import Starter
from service.training.heartbeats import ORPHAN_SECONDS
from service.training.model_types import ModelTypes
from service.training.queue import Trainer
from service.training.retention import Retention
from service.training.run import Limits as TrainingLimits
from service.training.run import Workshop
from service.training.uploads import Uploads

logger = logging.getLogger(__name__)

_THREADS = 2
_AGAIN_SECONDS = 5.0


def create_app(
    settings: Settings | None = None,
    registry: Registry | None = None,
    children: Children | None = None,
) -> Service:
    """Make the application; raises StartError where it cannot start.

    Tests pass all; production passes none.
    """
    settings = read_settings() if settings is None else settings
    keys = None if settings.api_keys_file is None else Keys(settings.api_keys_file)
    folder = DataFolder(settings.data_dir)
    if registry is None:
        from service.registry.mlflow_registry import MlflowRegistry

        registry = MlflowRegistry(settings.mlflow_uri, settings.data_dir)
    metrics = Metrics()
    slot = Slot()
    gate = Gate()
    predict = Predict(
        slot, gate, metrics, settings.max_body_bytes, settings.max_in_flight, threads=_THREADS
    )
    children = Children(settings.children_idle_seconds) if children is None else children
    state = _state(settings, registry, children, metrics, slot, gate, folder)
    stopping = threading.Thread(target=state.trainer.stop, name="drain", daemon=True)

    def drain() -> None:
        if not state.draining:
            state.draining = True
            stopping.start()

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[Lifespan]:
        gate.bind(asyncio.get_running_loop())
        state.children.warm()
        await state.run(_begin, state)
        yield {"service": state}
        state.draining = True
        state.stopping.set()
        state.poller.stop()
        state.listing.close()
        await state.run(state.trainer.stop)
        state.children.close()
        predict.close()
        state.cores.close()
        state.replicas.close()
        state.steps.shutdown(wait=False, cancel_futures=True)
        state.pool.shutdown(wait=False, cancel_futures=True)
        state.registry.close()
        folder.close()

    app = fastapi_application(lifespan, slot, settings.max_rows)
    return Service(predict, RequestScope(app, metrics), metrics, drain, keys)


def _state(
    settings: Settings,
    registry: Registry,
    children: Children,
    metrics: Metrics,
    slot: Slot,
    gate: Gate,
    folder: DataFolder,
) -> State:
    identifier = uuid.uuid4().hex[:12]
    cores = Cores()
    loader = Loader(
        registry,
        children,
        folder.cache,
        Limits(settings.max_rows, settings.max_json_depth),
        settings.allow_pickle,
        metrics.classifiers_lost.inc,
        cores,
    )
    last_use = LastUse(folder.last_use)
    local = LocalReplica(identifier, registry, loader, slot, metrics, last_use, gate)
    key = settings.peer_key.get_secret_value()
    peers = NamedPeers(settings.replicas, identifier, key) if settings.replicas else Alone()
    replicas = Replicas(local, peers, registry, metrics)
    limits = TrainingLimits(
        settings.trainings_at_once,
        settings.trainings_queued,
        JobLimits(
            settings.training_seconds, settings.training_memory_bytes, settings.training_disk_bytes
        ),
    )
    trainer = Trainer(identifier, Workshop(registry, children, replicas, limits), metrics)
    uploads = Uploads(registry, children, folder.uploads, settings)
    return State(
        settings=settings,
        metrics=metrics,
        slot=slot,
        registry=registry,
        loader=loader,
        local=local,
        replicas=replicas,
        poller=Poller(local, replicas, settings.poll_seconds, metrics),
        children=children,
        trainer=trainer,
        listing=Listing(registry, loader),
        model_types=ModelTypes(children, folder.work),
        uploads=uploads,
        bulk=Bulk(children, settings),
        cores=cores,
        starter=Starter(settings.starter_model, registry, replicas, uploads, trainer),
        retention=Retention(registry, settings.keep_failed_days, settings.keep_datasets_days),
    )


def _begin(state: State) -> None:
    """Serve what is in use before the first request is taken; the rest goes on beside it.

    With other replicas the first request may be theirs, and is needed for that.
    """
    if not state.settings.replicas:
        state.poller.poll()
    state.trainer.start()
    threading.Thread(target=_catch_up, args=(state,), name="starter", daemon=True).start()
    state.poller.start()


def _catch_up(state: State) -> None:
    """Close what an earlier process left open, make the starter model, and then sweep.

    Tried until it is done: MLflow may come up after this service.
    """
    # Alone in a data folder, every open training is one that a killed process left.
    alone = not state.settings.mlflow_uri
    while not state.stopping.wait(0):
        try:
            state.trainer.beats.close_orphans(0 if alone else ORPHAN_SECONDS)
            if state.starter.step():
                break
        except ServiceError as error:
            logger.warning("%s", error)
        state.stopping.wait(_AGAIN_SECONDS)
    state.retention.run(state.stopping)
