"""The Job of one training in Kubernetes, as a replica follows it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.common.domain import Training
from service.common.errors import (
    JobStopped,
    RegistryUnavailable,
    ServiceError,
    TrainingNotFound,
    clip,
)
from service.common.ports import Registry
from service.common.search import SearchState, Trial
from service.kubernetes.cluster import (
    Cluster,
    ClusterUnavailable,
    JobExists,
    JobRefused,
    JobStatus,
    PodStatus,
)
from service.kubernetes.endings import failure_of, reason_to_wait, waited_too_long
from service.kubernetes.manifest import OF, TRAINING, JobTemplate
from service.processes.job import result_of
from service.processes.limits import JobLimits
from service.processes.messages import Progress
from service.training import handover
from service.training.executor import JOB_SHARE, present_record
from service.training.lost_trials import close_lost

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_LONGEST_POLL_SECONDS = 3.0
_POLL_SHARE = 0.02
"""A Job is looked at less often, the longer it takes: so much of its time may be noticed late."""
_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Pods:
    """Where Jobs are made, and how many pods they may have."""

    cluster: Cluster
    template: JobTemplate
    most: int
    """Pods of all trainings of the release at one time."""


class PodJob:
    """The port `TrainingJob` as a Job; the training's record says how far its pod has come."""

    def __init__(
        self,
        pods: Pods,
        registry: Registry,
        training: Training,
        parallel: int,
        folder: Path,
        limits: JobLimits,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        """`parallel`: how many pods it has; `folder`: where what they make is to be."""
        self.limits = limits
        self.waiting = training.stage if training.state == "queued" else ""
        self.progress: Progress | None = None
        self.search: SearchState | None = training.search
        self.trials: deque[Trial] = deque()
        """Empty: the pods record their trials themselves."""
        self._pods = pods
        self._registry = registry
        self._training = training
        self._parallel = parallel
        self._folder = folder
        self._pause = pause
        self._begun = training.state == "running"
        self._since = time.monotonic()
        self._deadline = self._since + limits.seconds
        """By which it has to be created, if that is refused."""
        self._created = self._begun
        self._closed: set[int] = set()
        """The indexes whose lost trials are closed."""
        self._stopped: str | None = None
        self._woken = threading.Event()

    @property
    def name(self) -> str:
        """The name of the Job."""
        return self._pods.template.name_of(self._training.id)

    def stop(self, reason: str) -> None:
        """Delete the Job; only the first call counts."""
        if self._stopped is None:
            self._stopped = reason
            self._woken.set()

    def wait(self, seconds: float) -> object:
        """Look once, after a pause of at least `seconds`; see `TrainingJob`."""
        self._pause(self._woken, max(seconds, self._poll_seconds))
        try:
            if self._stopped is not None:
                self._pods.cluster.delete_job(self.name)
                raise JobStopped(self._stopped)
            self._look_at_record()
            job = self._pods.cluster.find_job(self.name)
            if job is None and not self._created:
                self._create()
            elif job is None or job.ended:
                return self._end(job)
            else:
                self._created = True
                self._look(job)
                self._close_lost(job)
        except (ClusterUnavailable, RegistryUnavailable) as error:
            # Both come back, and the Job goes on meanwhile.
            logger.warning("training %s cannot be followed: %s", self._training.id, error)
        raise TimeoutError

    @property
    def _poll_seconds(self) -> float:
        taken = time.monotonic() - self._since
        return min(max(_POLL_SECONDS, _POLL_SHARE * taken), _LONGEST_POLL_SECONDS)

    def _look_at_record(self) -> None:
        try:
            record = present_record(self._registry, self._training)
        except TrainingNotFound:
            self._pods.cluster.delete_job(self.name)
            raise
        self.search = record.search
        if not self.waiting:
            self.progress = Progress(record.stage, record.progress / JOB_SHARE)

    def _create(self) -> None:
        """Create the Job, unless there are enough pods; at the deadline it fails."""
        cluster, template = self._pods.cluster, self._pods.template
        if time.monotonic() > self._deadline:
            raise waited_too_long(self.limits.seconds, self.waiting)
        if not self._has_room(self._others()):
            self.waiting = "waiting for other trainings to end"
            return
        owner = cluster.find_job(template.name)
        uid = None if owner is None else owner.uid
        job = template.job_of(self._training.id, self._parallel, uid)
        try:
            cluster.create_job(job)
        except JobExists:
            self._created = True  # By the replica that had it before.
            return
        except JobRefused as error:
            self.waiting = f"waiting: {clip(error, 300)}"
            return
        self._created = True
        if not self._has_room(self._earlier()):
            # Another replica was quicker.
            cluster.delete_job(self.name)
            self._created = False

    def _others(self) -> list[JobStatus]:
        jobs = self._pods.cluster.list_jobs(OF, self._pods.template.name[:63])
        mine = self._training.id
        return [one for one in jobs if not one.ended and one.labels.get(TRAINING) != mine]

    def _earlier(self) -> list[JobStatus]:
        mine = self._pods.cluster.find_job(self.name)
        if mine is None:
            return []
        return [
            one for one in self._others() if (one.created, one.name) < (mine.created, mine.name)
        ]

    def _has_room(self, others: list[JobStatus]) -> bool:
        return sum(one.parallelism for one in others) + self._parallel <= self._pods.most

    def _look(self, job: JobStatus) -> None:
        if self._begun:
            return
        cluster = self._pods.cluster
        pods = cluster.pods_of(job.name)
        warnings = [] if pods else cluster.warnings_of(job.name)
        self.waiting = reason_to_wait(job, pods, warnings)
        self._begun = not self.waiting

    def _close_lost(self, job: JobStatus) -> None:
        """Close the trials of pods that do not come back, for which the first pod would wait."""
        for index in job.failed_indexes - self._closed:
            close_lost(self._registry, self._training, index, job.parallelism)
            self._closed.add(index)

    def _end(self, job: JobStatus | None) -> object:
        """Return the result of a Job that has ended or is gone, or raise its error."""
        training = self._training.id
        outcome = handover.outcome_of(self._registry, training)
        if outcome is None:
            raise self._failure(job)
        search = present_record(self._registry, self._training).search
        self.search = None if search is None else search.ended()
        result = result_of(outcome, self.limits)
        handover.take_made(self._registry, training, self._folder)
        return result

    def _failure(self, job: JobStatus | None) -> ServiceError:
        cluster = self._pods.cluster
        pods: list[PodStatus] = [] if job is None else list(cluster.pods_of(job.name))
        dead = [pod for pod in pods if pod.phase == "Failed"]
        log = cluster.log_of(dead[-1].name, _LOG_LINES) if dead else ""
        waited_for = "" if self._begun else self.waiting
        return failure_of(job, pods, log, self.limits.seconds, waited_for)
