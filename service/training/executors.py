"""Which executor the settings ask for."""

from pathlib import Path
from typing import TYPE_CHECKING

from service.common.errors import StartError
from service.common.ports import Registry
from service.common.settings import Settings
from service.processes.pool import WorkerPool
from service.training.executor import Executor, ProcessExecutor

if TYPE_CHECKING:
    from service.kubernetes.cluster import Cluster


def executor_of(
    settings: Settings,
    registry: Registry,
    workers: WorkerPool,
    work: Path,
    cluster: "Cluster | None" = None,
) -> Executor:
    """Return what runs trainings; raises StartError where that cannot be here.

    What Jobs need is imported only where trainings are Jobs. `work`: where the folders of trainings
    are; `cluster`: None is that of this pod.
    """
    if settings.job_template is None or settings.executor == "process":
        return ProcessExecutor(workers)
    from service.kubernetes.manifest import JobTemplate
    from service.training.pod_executor import PodExecutor
    from service.training.pod_job import Pods

    template = JobTemplate(settings.job_template)
    return PodExecutor(
        Pods(cluster or _cluster(), template, settings.training_pods), registry, work
    )


def _cluster() -> "Cluster":
    try:
        from service.kubernetes.lightkube_cluster import LightkubeCluster
    except ModuleNotFoundError as error:
        if error.name not in ("lightkube", "httpx2"):
            raise
        raise StartError(
            "SERVICE_EXECUTOR=kubernetes needs the package lightkube, which the image has."
        ) from error
    return LightkubeCluster.of_pod()
