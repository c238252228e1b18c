"""What the service asks of Kubernetes: Jobs, and what has become of their pods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


class ClusterUnavailable(Exception):
    """The API server does not answer, or not as it should; the message is the reason."""


class JobExists(Exception):
    """There is a Job of that name."""


class JobRefused(Exception):
    """The API server refuses the Job, as for a quota; the message is its reason."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A Job as the API server shows it."""

    name: str
    labels: Mapping[str, str]
    uid: str = ""
    created: str = ""
    """When it was created, in a form that sorts."""
    parallelism: int = 1
    suspended: bool = False
    """Whether something, such as Kueue, has it wait."""
    ended: Literal["", "complete", "failed"] = ""
    reason: str = ""
    """Why it failed, in Kubernetes' word: BackoffLimitExceeded, DeadlineExceeded, …"""
    failed_indexes: frozenset[int] = frozenset()
    """Of a Job with several pods: those that are not tried again."""


@dataclass(frozen=True, slots=True)
class PodStatus:
    """A pod of a Job as the API server shows it."""

    name: str
    phase: str
    """Pending, Running, Succeeded or Failed."""
    reason: str = ""
    """Why the pod as a whole failed, as Evicted."""
    message: str = ""
    waiting: str = ""
    """Why its container waits, or why no node takes it; empty: neither is known."""
    exit_code: int | None = None
    """With which its container ended."""
    ended_by: str = ""
    """Why its container ended, as OOMKilled or Error."""
    created: str = ""


class Cluster(Protocol):
    """The API server, in the namespace of the service. Every method raises ClusterUnavailable."""

    def create_job(self, manifest: Mapping[str, Any]) -> None:
        """Create a Job; raises JobExists or JobRefused."""

    def find_job(self, name: str) -> JobStatus | None:
        """Return a Job; None where there is none of that name."""

    def list_jobs(self, label: str, value: str | None = None) -> Sequence[JobStatus]:
        """Return the Jobs that have a label, with that value if one is given."""

    def delete_job(self, name: str) -> None:
        """Delete a Job and its pods, if it exists."""

    def pods_of(self, job: str) -> Sequence[PodStatus]:
        """Return the pods of a Job, the oldest first."""

    def warnings_of(self, job: str) -> Sequence[str]:
        """Return what Kubernetes warns of about a Job itself, the oldest first."""

    def log_of(self, pod: str, lines: int) -> str:
        """Return the last lines of what a pod has written; empty where there are none."""
