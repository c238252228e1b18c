"""What is told of a Job that waits, or that ended and left no outcome: a sentence for each."""

import pytest

from service.common.errors import JobFailed, ServiceError, WorkerCrashed
from service.kubernetes.cluster import JobStatus, PodStatus
from service.kubernetes.endings import failure_of, reason_to_wait

JOB = JobStatus("j", {})
FAILED = JobStatus("j", {}, ended="failed", reason="BackoffLimitExceeded")
LATE = JobStatus("j", {}, ended="failed", reason="DeadlineExceeded")


def dead(**changes: object) -> PodStatus:
    return PodStatus("p", "Failed", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("job", "pods", "warnings", "reason"),
    [
        (JOB, [], [], "waiting for a pod"),
        (JOB, [PodStatus("p", "Pending")], [], "waiting for a pod"),
        (
            JOB,
            [PodStatus("p", "Pending", waiting="0/1 nodes are available: 1 Insufficient memory.")],
            [],
            "waiting: 0/1 nodes are available: 1 Insufficient memory.",
        ),
        (
            JOB,
            [PodStatus("p", "Pending", waiting="ImagePullBackOff: no such image")],
            [],
            "waiting: ImagePullBackOff: no such image",
        ),
        (
            JOB,
            [],
            ["an old one", 'pods "j-0" is forbidden: exceeded quota: q'],
            'waiting: pods "j-0" is forbidden: exceeded quota: q',
        ),
        (
            JobStatus("j", {}, suspended=True),
            [],
            [],
            "waiting: the queue of the cluster has not admitted it",
        ),
        (JOB, [PodStatus("p", "Running")], [], ""),
        (JOB, [PodStatus("p", "Succeeded")], [], ""),
        (JOB, [dead(), PodStatus("q", "Pending", waiting="no node")], [], "waiting: no node"),
        (JOB, [PodStatus("p", "Running"), PodStatus("q", "Pending", waiting="no node")], [], ""),
    ],
)
def test_a_job_without_a_pod_that_runs_says_what_it_waits_for(
    job: JobStatus, pods: list[PodStatus], warnings: list[str], reason: str
) -> None:
    assert reason_to_wait(job, pods, warnings) == reason


@pytest.mark.parametrize(
    ("job", "pods", "error", "sentence"),
    [
        (None, [], WorkerCrashed, "Its Job was deleted in Kubernetes."),
        (
            JobStatus("j", {}, ended="complete"),
            [],
            WorkerCrashed,
            "Its pod ended and told no outcome.",
        ),
        (LATE, [], JobFailed, "It took longer than the limit of 300 s."),
        (
            FAILED,
            [dead(ended_by="OOMKilled", exit_code=137)],
            JobFailed,
            "It took more memory than its pod may have.",
        ),
        (
            FAILED,
            [dead(reason="Evicted", message="The node was low on resource: memory. ")],
            WorkerCrashed,
            "Its pod was evicted: The node was low on resource: memory.",
        ),
        (
            FAILED,
            [dead(exit_code=75, ended_by="Error")],
            WorkerCrashed,
            "Its pod ended with status 75. It wrote: MLflow is unavailable",
        ),
        (
            FAILED,
            [dead(exit_code=137, ended_by="Error")],
            WorkerCrashed,
            "Its pod was killed. It wrote: MLflow is unavailable",
        ),
        (
            FAILED,
            [dead(reason="NodeLost", message="the node is gone")],
            WorkerCrashed,
            "Its pod failed: the node is gone.",
        ),
        (FAILED, [], WorkerCrashed, "Its pod was removed, and so was the next."),
    ],
)
def test_how_a_job_ended_is_told(
    job: JobStatus | None, pods: list[PodStatus], error: type[ServiceError], sentence: str
) -> None:
    failure = failure_of(job, pods, " MLflow is unavailable\n", 300, "")

    assert type(failure) is error
    assert str(failure) == sentence


def test_a_job_that_had_no_pod_until_its_deadline_says_what_it_waited_for() -> None:
    failure = failure_of(LATE, [], "", 300, "waiting: ImagePullBackOff: no such image.")

    assert isinstance(failure, WorkerCrashed)
    assert str(failure) == "It waited for 300 s and got no pod: ImagePullBackOff: no such image."


def test_only_the_end_of_a_long_log_is_told() -> None:
    failure = failure_of(FAILED, [dead(exit_code=2)], "x" * 5000 + "the end", 300, "")

    assert str(failure).endswith("the end")
    assert len(str(failure)) < 1100
