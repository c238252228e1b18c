"""Runs trainings as Jobs of Kubernetes, which go on without the replica that began them."""

import contextlib
import logging
import math
import time
import uuid
from dataclasses import replace
from pathlib import Path

from service.common.domain import Training
from service.common.ports import Registry
from service.kubernetes.cluster import ClusterUnavailable
from service.processes.limits import JobLimits
from service.training import handover
from service.training.executor import TrainingJob
from service.training.pod_job import PodJob, Pods
from service.training.spec import TrainingSpec

logger = logging.getLogger(__name__)

_LATE_SECONDS = 600.0
"""After its deadline, in which MLflow may still take the end of a training."""


class PodExecutor:
    """The port `Executor` by Jobs."""

    outlives = True

    def __init__(self, pods: Pods, registry: Registry, work: Path) -> None:
        """`work`: where the folders of trainings are that are taken up."""
        self._pods = pods
        self._registry = registry
        self._work = work

    def keeps(self, training: Training) -> bool:
        """Return whether it is not long past its deadline; MLflow has what its job has made."""
        return time.time() - training.created_at < self._pods.template.seconds + _LATE_SECONDS

    def limits(self, each: JobLimits) -> JobLimits:
        """Return the limits of a pod, as far as the template has any."""
        template = self._pods.template
        return replace(
            each,
            seconds=template.seconds,
            memory_bytes=template.memory_bytes or each.memory_bytes,
        )

    def prepare(self, training: Training, spec: TrainingSpec) -> None:
        """Store what any replica, and the pod, needs; raises RegistryUnavailable."""
        handover.give(self._registry, training.id, spec)

    def spec_of(self, training: Training) -> TrainingSpec | None:
        """Return what was prepared, with its files here; None where nothing was.

        Raises RegistryUnavailable.
        """
        return handover.take(self._registry, training.id, self._work / uuid.uuid4().hex)

    def start(self, training: Training, spec: TrainingSpec, limits: JobLimits) -> TrainingJob:
        """Return the Job of a training, which is created if there is none."""
        parallel, limits = min(spec.parallel, self._pods.most), self.limits(limits)
        return PodJob(self._pods, self._registry, training, parallel, spec.folder, limits)

    def deadline(self, limits: JobLimits) -> float:  # noqa: ARG002
        """Return that it is never to be stopped: Kubernetes does that."""
        return math.inf

    def end(self, training: Training) -> None:
        """Remove the files, and the Job of one that was cancelled; others show their logs a while.

        Kubernetes removes those by itself.
        """
        handover.remove(self._registry, training.id)
        if training.state == "cancelled":
            with contextlib.suppress(ClusterUnavailable):
                self._pods.cluster.delete_job(self._pods.template.name_of(training.id))
