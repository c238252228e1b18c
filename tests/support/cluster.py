"""A cluster in memory: Jobs that a test ends as it likes, or that run their pods in threads."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from service.kubernetes.cluster import (
    ClusterUnavailable,
    JobExists,
    JobRefused,
    JobStatus,
    PodStatus,
)
from service.kubernetes.manifest import JobTemplate

NAME = "desafio-training"
TEMPLATE: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": NAME, "labels": {"app": "desafio"}},
    "spec": {
        "activeDeadlineSeconds": 300,
        "backoffLimit": 1,
        "podFailurePolicy": {
            "rules": [
                {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": "training",
                        "operator": "In",
                        "values": [137],
                    },
                },
            ]
        },
        "template": {
            "metadata": {"labels": {"app": "desafio"}},
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {"name": "training", "image": "i", "command": ["python", "-m", "service.pod"]}
                ],
            },
        },
    },
}
Pod = Callable[[Mapping[str, Any], int], None]
"""Does what a pod of a Job does; called with the Job's manifest and the index."""


def template(folder: Path, **changes: Any) -> JobTemplate:
    """Return the template of a release, from a file."""
    path = folder / "job.json"
    path.write_bytes(orjson.dumps({**TEMPLATE, **changes}))
    return JobTemplate(path)


class FakeCluster:
    """The port `Cluster`; `down` makes calls fail, `refusal` has Jobs refused."""

    def __init__(self, pod: Pod | None = None) -> None:
        """`pod` runs the pods of each Job, in threads; without it a test ends them."""
        self.down = False
        self.refusal = ""
        self.manifests: dict[str, Mapping[str, Any]] = {}
        self.jobs: dict[str, JobStatus] = {NAME: JobStatus(NAME, {}, uid="owner", ended="complete")}
        self.pods: dict[str, list[PodStatus]] = {}
        self.warnings: dict[str, list[str]] = {}
        self.logs: dict[str, str] = {}
        self.deleted: list[str] = []
        self._pod = pod
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def create_job(self, manifest: Mapping[str, Any]) -> None:
        self._look()
        name = manifest["metadata"]["name"]
        if self.refusal:
            raise JobRefused(self.refusal)
        with self._lock:
            if name in self.jobs:
                raise JobExists
            self.manifests[name] = manifest
            self.jobs[name] = JobStatus(
                name=name,
                labels=manifest["metadata"]["labels"],
                uid=name,
                created=f"{len(self.manifests):04}",
                parallelism=manifest["spec"]["parallelism"],
            )
            self.pods[name] = []
        if self._pod is not None:
            thread = threading.Thread(target=self._run, args=(name,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def find_job(self, name: str) -> JobStatus | None:
        self._look()
        return self.jobs.get(name)

    def list_jobs(self, label: str, value: str | None = None) -> Sequence[JobStatus]:
        self._look()
        with self._lock:
            return [
                job
                for job in self.jobs.values()
                if label in job.labels and value in (None, job.labels[label])
            ]

    def delete_job(self, name: str) -> None:
        self._look()
        self.jobs.pop(name, None)
        self.deleted.append(name)

    def pods_of(self, job: str) -> Sequence[PodStatus]:
        self._look()
        return list(self.pods.get(job, ()))

    def warnings_of(self, job: str) -> Sequence[str]:
        self._look()
        return self.warnings.get(job, [])

    def log_of(self, pod: str, lines: int) -> str:
        self._look()
        return "\n".join(self.logs.get(pod, "").splitlines()[-lines:])

    def end(self, name: str, reason: str = "", *pods: PodStatus) -> None:
        """End a Job: as complete, or for a reason."""
        if pods:
            self.pods[name] = list(pods)
        job = self.jobs[name]
        self.jobs[name] = replace(job, ended="failed" if reason else "complete", reason=reason)

    def join(self) -> None:
        """Wait until all pods have ended."""
        for thread in self._threads:
            thread.join(timeout=60)

    def _run(self, name: str) -> None:
        assert self._pod is not None
        self.pods[name] = [PodStatus(f"{name}-0", "Running")]
        self._pod(self.manifests[name], 0)
        self.pods[name] = [PodStatus(f"{name}-0", "Succeeded", exit_code=0)]
        if name in self.jobs:
            self.end(name)

    def _look(self) -> None:
        if self.down:
            raise ClusterUnavailable("it was switched off by a test")
