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
    try:
        from service.kubernetes.lightkube_cluster import LightkubeCluster
        from service.kubernetes.manifest import JobTemplate
    except ModuleNotFoundError as error:
        if error.name not in ("lightkube", "httpx2"):
            raise
        raise StartError(
            "SERVICE_EXECUTOR=kubernetes needs the package lightkube, which the image has."
        ) from error
    from service.training.pod_executor import PodExecutor
    from service.training.pod_job import Pods

    template = JobTemplate(settings.job_template)
    found = LightkubeCluster.of_pod() if cluster is None else cluster
    return PodExecutor(Pods(found, template, settings.training_pods), registry, work)
