"""Run the job of a training in this pod, and end.

Whatever the job finds out is stored as its outcome, and the status is 0. Another status is for what
Kubernetes may try again: MLflow does not answer, or the pod is to end.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from service.common.errors import RegistryUnavailable, StartError, TrainingNotFound
from service.common.json_logs import configure_logs
from service.common.settings import read_settings
from service.pod.training_pod import TrainingPod
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.registry.mlflow_registry import MlflowRegistry

logger = logging.getLogger("service.pod")

_TRY_AGAIN = 75


def main() -> int:
    """Run the job that the arguments name; return the status of this process."""
    parser = argparse.ArgumentParser(prog="python -m service.pod", description=__doc__)
    parser.add_argument("training", help="its id")
    parser.add_argument("index", type=int, help="of this pod among those of the Job, from 0")
    parser.add_argument("pods", type=int, help="how many pods the Job has")
    arguments = parser.parse_args()
    try:
        settings = read_settings()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    configure_logs(settings.log_level)
    limits = JobLimits(
        settings.training_seconds, settings.training_memory_bytes, settings.training_disk_bytes
    )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    workers = WorkerPool()
    registry = MlflowRegistry(settings.mlflow_uri, settings.data_dir)
    try:
        with tempfile.TemporaryDirectory(dir=settings.data_dir) as folder:
            pod = TrainingPod(registry, workers, arguments.training, Path(folder), limits)
            pod.run(arguments.index, arguments.pods)
    except RegistryUnavailable as error:
        logger.error("%s", error)
        return _TRY_AGAIN
    except TrainingNotFound as error:
        logger.error("%s", error)
    finally:
        workers.close()
        registry.close()
    return 0
