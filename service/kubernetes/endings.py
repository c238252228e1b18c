"""Why a Job waits, and how one has ended that left no outcome: a sentence each."""

from collections.abc import Sequence

from service.common.errors import JobFailed, ServiceError, WorkerCrashed, clip
from service.kubernetes.cluster import JobStatus, PodStatus

_KILLED = 137
_LONGEST = 300
_LONGEST_LOG = 1000


def reason_to_wait(job: JobStatus, pods: Sequence[PodStatus], warnings: Sequence[str]) -> str:
    """Return what a Job waits for; empty where one of its pods has begun."""
    if any(pod.phase not in ("Pending", "Failed") for pod in pods):
        return ""
    if job.suspended:
        return "waiting: the queue of the cluster has not admitted it"
    known = [pod.waiting for pod in pods if pod.phase == "Pending" and pod.waiting]
    # A Job that may have no pod, as for a quota, says so in a warning.
    if not pods:
        known += warnings[-1:]
    return f"waiting: {clip(known[-1], _LONGEST)}" if known else "waiting for a pod"


def waited_too_long(seconds: float, waited_for: str) -> ServiceError:
    """Return the error of a training that had no pod before its time was up."""
    what = waited_for.removeprefix("waiting").lstrip(": ").rstrip(".") or "none was free"
    return WorkerCrashed(f"It waited for {seconds:g} s and got no pod: {what}.")


def failure_of(
    job: JobStatus | None,
    pods: Sequence[PodStatus],
    log: str,
    seconds: float,
    waited_for: str,
) -> ServiceError:
    """Return the error of a training whose Job ended, or is gone, and left no outcome.

    `seconds`: how long it might take. `waited_for`: what it waited for when it was looked at last.
    """
    if job is None:
        return WorkerCrashed("Its Job was deleted in Kubernetes.")
    if job.ended == "complete":
        return WorkerCrashed("Its pod ended and told no outcome.")
    dead = [pod for pod in pods if pod.phase == "Failed"]
    if job.reason == "DeadlineExceeded":
        if waited_for:
            return waited_too_long(seconds, waited_for)
        return JobFailed(f"It took longer than the limit of {seconds:g} s.")
    if not dead:
        return WorkerCrashed("Its pod was removed, and so was the next.")
    pod = dead[-1]
    if pod.ended_by == "OOMKilled":
        return JobFailed("It took more memory than its pod may have.")
    if pod.reason == "Evicted":
        return WorkerCrashed(f"Its pod was evicted: {clip(pod.message.strip(), _LONGEST)}")
    if pod.exit_code is None:
        return WorkerCrashed(f"Its pod failed: {clip(pod.message or pod.reason, _LONGEST)}.")
    how = "was killed" if pod.exit_code == _KILLED else f"ended with status {pod.exit_code}"
    written = f" It wrote: {log.strip()[-_LONGEST_LOG:]}" if log.strip() else ""
    return WorkerCrashed(f"Its pod {how}.{written}", pod.exit_code == _KILLED)
