"""The job of a training from what was given to it, to the outcome that it gives back."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from service.common.errors import (
    DataSetNotFound,
    RegistryUnavailable,
    TrainingNotFound,
    WorkersUnavailable,
)
from service.common.ports import Registry
from service.common.search import Trial
from service.pod.container_memory import oom_kills
from service.pod.trial_exchange import TrialExchange
from service.processes.job import Job
from service.processes.job_files import OTHERS
from service.processes.limits import JobLimits, LimitExceeded
from service.processes.messages import Crashed, Outcome, OverLimit, Rejected
from service.processes.pool import WorkerPool
from service.processes.process_tree import memory_of, tree
from service.training import handover
from service.training.executor import JOB_SHARE
from service.training.spec import TrainingSpec
from service.training.stored_rows import FETCHING, fetch_rows, limits_beside

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK_SECONDS = 0.2
_REPORT_SECONDS = 1.0
_SPARE_BYTES = 64 * 2**20
"""Of the pod's memory, for what this program takes besides."""
_LEAST_BYTES = 256 * 2**20


class TrainingPod:
    """One pod: it has a worker process do the job, and MLflow hear of it."""

    def __init__(
        self,
        registry: Registry,
        workers: WorkerPool,
        training: str,
        folder: Path,
        limits: JobLimits,
        pause: Callable[[float], None] = time.sleep,
        oom_kills: Callable[[], int] = oom_kills,
        patience: float = 300.0,
    ) -> None:
        """`limits`: what the pod as a whole may take; `oom_kills`: see `container_memory`.

        `patience`: the seconds of MLflow's silence after which Kubernetes is to try again.
        """
        self._patience = patience
        self._registry = registry
        self._workers = workers
        self._training = training
        self._folder = folder
        self._limits = limits
        self._pause = pause
        self._oom_kills = oom_kills
        self._reported: object = None
        self._next_report = 0.0

    def run(self, index: int, pods: int) -> None:
        """Do the job; of several pods, the first one's outcome is that of the training.

        Raises RegistryUnavailable where MLflow was silent for too long, and TrainingNotFound.
        """
        training = self._patiently(lambda: self._registry.get_training(self._training))
        spec = self._patiently(lambda: handover.take(self._registry, self._training, self._folder))
        if training.ended or spec is None:
            logger.warning("training %s has ended, or was never given", self._training)
            return
        exchange = None
        if spec.search is not None:
            exchange = TrialExchange(self._registry, training, index, pods)
            self._patiently(exchange.close_lost)
        outcome = self._fetch(spec, index) or self._work(spec, exchange, index, pods)
        if exchange is not None:
            self._patiently(exchange.finish)
        if index == 0:
            logger.info("training %s: %s", self._training, type(outcome).__name__)
            self._patiently(
                lambda: handover.give_outcome(self._registry, self._training, self._folder, outcome)
            )

    def _fetch(self, spec: TrainingSpec, index: int) -> Outcome | None:
        """Fetch the rows that are stored as a data set; return how that ends the training, if so.

        Raises RegistryUnavailable and TrainingNotFound.
        """

        def tell() -> None:
            if index == 0:
                self._registry.record_progress(self._training, FETCHING, 0.0, spec.search)

        try:
            self._patiently(lambda: fetch_rows(self._registry, spec, tell))
        except DataSetNotFound as error:
            return Rejected("JobFailed", str(error))
        return None

    def _work(
        self, spec: TrainingSpec, exchange: TrialExchange | None, index: int, pods: int
    ) -> Outcome:
        """Have a worker do the job, and return how it ended."""
        # After this small job all is imported, and what that takes can be seen.
        self._workers.start("model_types", self._folder, {}, self._limits).outcome.result()
        own = _own_memory()
        limits = replace(
            self._limits,
            memory_bytes=max(_LEAST_BYTES, self._limits.memory_bytes - own - _SPARE_BYTES),
        )
        limits = limits_beside(spec, limits)
        told = spec.job(self._limits)
        if exchange is not None:
            self._write_others(exchange.all_trials())
            told |= {"index": index, "pods": pods, "searched_seconds": exchange.searched_seconds()}
        job = self._workers.start("train", self._folder, told, limits)
        while True:
            try:
                outcome = job.outcome.result(timeout=_LOOK_SECONDS)
            except TimeoutError:
                self._look(job, exchange, index)
                continue
            except WorkersUnavailable as error:
                return Crashed(str(error))
            self._look(job, exchange, index, last=True)
            return self._of_pod(outcome)

    def _of_pod(self, outcome: Outcome) -> Outcome:
        """Have the sentence about a limit be one about the pod, of which the worker has a part."""
        if isinstance(outcome, OverLimit):
            return Rejected("JobFailed", self._limits.reason(outcome.limit))
        if isinstance(outcome, Crashed) and outcome.was_killed and self._oom_kills():
            # It took memory faster than it is watched, and met the container's limit.
            return Rejected("JobFailed", self._limits.reason(LimitExceeded.MEMORY))
        return outcome

    def _look(
        self, job: Job, exchange: TrialExchange | None, index: int, *, last: bool = False
    ) -> None:
        """Record how far the job has come, once a second."""
        if time.monotonic() < self._next_report and not last:
            return
        self._next_report = time.monotonic() + _REPORT_SECONDS
        try:
            if exchange is not None:
                self._write_others(exchange.look(job))
            news = job.progress, job.search
            if index == 0 and job.progress is not None and news != self._reported:
                share = JOB_SHARE * job.progress.share
                self._registry.record_progress(
                    self._training, job.progress.stage, share, job.search
                )
                self._reported = news
        except (RegistryUnavailable, TrainingNotFound) as error:
            # Its owner deletes the Job of a training that is not there any more.
            logger.warning("%s", error)

    def _write_others(self, trials: list[Trial]) -> None:
        """Tell the worker of trials that other pods, or others before this one, have made."""
        unfinished = self._folder / f".{OTHERS}"
        unfinished.write_bytes(msgspec.json.encode(trials))
        unfinished.replace(self._folder / OTHERS)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Return what a call to MLflow returns, which is repeated while MLflow is silent."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return call()
            except RegistryUnavailable as error:
                if time.monotonic() > until:
                    raise
                logger.warning("%s", error)
                self._pause(_REPORT_SECONDS)


def _own_memory() -> int:
    """Return what this program and the host of its worker take now, in bytes."""
    return memory_of(tree([os.getpid()]), 0)
