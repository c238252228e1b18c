"""The port `Cluster` by lightkube."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Event, Pod
from lightkube.types import CascadeType

from service.common.errors import StartError
from service.kubernetes.cluster import (
    ClusterUnavailable,
    JobExists,
    JobRefused,
    JobStatus,
    PodStatus,
)

_SECONDS = 10.0
_JOB_OF_POD = "batch.kubernetes.io/job-name"


class LightkubeCluster:
    """Speaks to the API server as the account of the pod that this process is in."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def of_pod(cls) -> Self:
        """Find the API server; raises StartError outside of a pod with an account's token."""
        try:
            config = KubeConfig.from_service_account()
        except ConfigError as error:
            raise StartError(
                "SERVICE_EXECUTOR=kubernetes works in a pod whose account's token is mounted: "
                f"{error}."
            ) from error
        return cls(Client(config, timeout=httpx2.Timeout(_SECONDS), trust_env=False))

    def create_job(self, manifest: Mapping[str, Any]) -> None:
        """Create a Job; raises JobExists or JobRefused."""
        with _translated():
            try:
                self._client.create(Job.from_dict(dict(manifest)))  # type: ignore[call-overload]
            except ApiError as error:
                if error.status.code == 409 and error.status.reason == "AlreadyExists":
                    raise JobExists from error
                if error.status.code in (400, 403, 422):
                    raise JobRefused(error.status.message or "") from error
                raise

    def find_job(self, name: str) -> JobStatus | None:
        """Return a Job; None where there is none of that name."""
        with _translated(), _missing():
            return _job(self._client.get(Job, name))
        return None

    def list_jobs(self, label: str, value: str | None = None) -> Sequence[JobStatus]:
        """Return the Jobs that have a label, with that value if one is given."""
        with _translated():
            # None asks for the label alone.
            return [_job(job) for job in self._client.list(Job, labels={label: value})]

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods, if it exists."""
        with _translated(), _missing():
            self._client.delete(Job, name, cascade=CascadeType.BACKGROUND)

    def pods_of(self, job: str) -> Sequence[PodStatus]:
        """Return the pods of a Job, the oldest first."""
        with _translated():
            pods = [_pod(pod) for pod in self._client.list(Pod, labels={_JOB_OF_POD: job})]
        return sorted(pods, key=lambda pod: pod.created)

    def warnings_of(self, job: str) -> Sequence[str]:
        """Return what Kubernetes warns of about a Job itself, the oldest first."""
        about: dict[str, Any] = {
            "involvedObject.kind": "Job",
            "involvedObject.name": job,
            "type": "Warning",
        }
        with _translated():
            events = list[Any](self._client.list(Event, fields=about))
        events.sort(key=lambda event: str(event.lastTimestamp or event.eventTime or ""))
        return [event.message or "" for event in events]

    def log_of(self, pod: str, lines: int) -> str:
        """Return the last lines of what a pod has written; empty where there are none."""
        with _translated(), _missing(400, 404):
            return "".join(self._client.log(pod, tail_lines=lines))
        return ""


@contextmanager
def _translated() -> Iterator[None]:
    """Raise ClusterUnavailable for what the API server or the way to it fails with."""
    try:
        yield
    except ApiError as error:
        raise ClusterUnavailable(str(error.status.message)) from error
    except httpx2.HTTPError as error:
        raise ClusterUnavailable(str(error) or type(error).__name__) from error


@contextmanager
def _missing(*codes: int) -> Iterator[None]:
    """Pass over the answer that there is no such thing."""
    try:
        yield
    except ApiError as error:
        if error.status.code not in (codes or (404,)):
            raise


def _job(job: Any) -> JobStatus:
    ended, reason = "", ""
    for condition in job.status.conditions or ():
        if condition.status == "True" and condition.type in ("Complete", "Failed"):
            ended, reason = condition.type.lower(), condition.reason or ""
    return JobStatus(
        name=job.metadata.name,
        labels=job.metadata.labels or {},
        uid=job.metadata.uid,
        created=str(job.metadata.creationTimestamp),
        parallelism=job.spec.parallelism or 0,
        suspended=bool(job.spec.suspend),
        ended=ended,  # type: ignore[arg-type]
        reason=reason,
        failed_indexes=frozenset(_numbers(job.status.failedIndexes or "")),
    )


def _numbers(text: str) -> Iterator[int]:
    """Read numbers as Kubernetes writes them: `1,3-5`."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _pod(pod: Any) -> PodStatus:
    status, waiting, exit_code, ended_by = pod.status, "", None, ""
    for condition in status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            waiting = condition.message or condition.reason or ""
    for container in status.containerStatuses or ():
        with suppress(AttributeError):
            state = container.state
            if state.waiting is not None and state.waiting.reason != "ContainerCreating":
                waiting = ": ".join(filter(None, (state.waiting.reason, state.waiting.message)))
            if state.terminated is not None:
                exit_code, ended_by = state.terminated.exitCode, state.terminated.reason or ""
    return PodStatus(
        name=pod.metadata.name,
        phase=status.phase or "Pending",
        reason=status.reason or "",
        message=status.message or "",
        waiting=waiting,
        exit_code=exit_code,
        ended_by=ended_by,
        created=str(pod.metadata.creationTimestamp),
    )
