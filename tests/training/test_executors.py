"""Which executor there is, and what a service without Jobs does not load."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.common.errors import StartError
from service.processes.pool import WorkerPool
from service.training.executor import ProcessExecutor
from service.training.executors import executor_of
from service.training.pod_executor import PodExecutor
from tests.support.cluster import FakeCluster, template
from tests.support.fakes import FakeRegistry
from tests.support.server import settings_for

WORKERS = WorkerPool()


@pytest.mark.slow
def test_a_service_without_jobs_loads_nothing_of_kubernetes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from service.app import create_app\n"
        "from service.common.settings import Settings\n"
        f"create_app(Settings(data_dir=Path({str(tmp_path)!r})))\n"
        "loaded = [name for name in sys.modules if 'kube' in name or name.startswith('httpx')]\n"
        "sys.exit(repr(loaded) if loaded else 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True)

    assert done.returncode == 0, done.stderr


def test_processes_are_the_executor_of_default_settings(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path / "registry")

    executor = executor_of(settings_for(tmp_path), registry, WORKERS, tmp_path)

    assert isinstance(executor, ProcessExecutor)


def test_jobs_are_the_executor_that_is_asked_for(tmp_path: Path) -> None:
    template(tmp_path)
    settings = settings_for(
        tmp_path,
        executor="kubernetes",
        mlflow_uri="http://127.0.0.1:9",
        job_template=tmp_path / "job.json",
    )
    registry = FakeRegistry(tmp_path / "registry")

    executor = executor_of(settings, registry, WORKERS, tmp_path, FakeCluster())
    assert isinstance(executor, PodExecutor)

    with pytest.raises(StartError, match="works in a pod whose account's token is mounted"):
        executor_of(settings, registry, WORKERS, tmp_path)


def test_jobs_without_a_template_or_an_mlflow_of_all_pods_are_refused(tmp_path: Path) -> None:
    for settings in (
        {"mlflow_uri": "http://127.0.0.1:9"},
        {"job_template": tmp_path / "job.json"},
    ):
        with pytest.raises(ValueError, match="SERVICE_EXECUTOR=kubernetes needs SERVICE_MLFLOW_U"):
            settings_for(tmp_path, executor="kubernetes", **settings)
