"""Deletion after N days: in the fake, in embedded MLflow and in MLflow behind a server."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.common.domain import DataSet, NewVersion, Training, TrainingState
from service.common.errors import DataSetNotFound, RegistryUnavailable, TrainingNotFound
from service.common.ports import Registry
from service.registry.mlflow_registry import MlflowRegistry
from service.training.retention import Retention
from tests.support.fakes import FakeRegistry
from tests.support.server import serve, settings_for
from tests.support.stores import with_tables
from tests.support.waiting import wait_until

GOING_ON = threading.Event()
"""Never set, so that sweeps are not interrupted."""


@pytest.fixture(scope="module", params=["fake", "embedded", "server"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("retention")
    if request.param == "fake":
        yield FakeRegistry(folder)
        return
    if request.param == "embedded":
        made = MlflowRegistry("", with_tables(folder))
    else:
        made = MlflowRegistry(request.getfixturevalue("mlflow_uri"), folder)
    yield made
    made.close()


def _retention(
    registry: Registry, days_later: float, failed: int = 30, unused: int = 30
) -> Retention:
    """Return a retention of this many days whose clock is in the future."""
    return Retention(registry, failed, unused, lambda: time.time() + days_later * 86_400)


def _ended(registry: Registry, state: TrainingState, data_set: str = "rows") -> Training:
    training = registry.open_training(
        Training(id="", state="running", created_at=time.time(), name="m", data_set=data_set), {}
    )
    training = replace(training, state=state, finished_at=time.time())
    if training.ended:
        registry.close_training(training)
    return training


def _registered(registry: Registry, training: Training, folder: Path, name: str) -> None:
    """Register a version that a training produced."""
    version = folder / name
    version.mkdir()
    (version / "schema.json").write_bytes(b"{}")
    digest = {"schema.json": hashlib.sha256(b"{}").hexdigest()}
    registry.add_version(NewVersion(name, "SVC", training.id, version, digest, {}, {}, []))


def _uploaded(registry: Registry, folder: Path, name: str, content: bytes = b"rows") -> DataSet:
    parquet = folder / f"{name}.parquet"
    parquet.write_bytes(content)
    columns = ({"name": "x", "type": "number", "missing": 0},)
    digest = hashlib.sha256(content).hexdigest()
    return registry.add_data_set(DataSet(name, digest, 1, columns, None, time.time()), parquet)


def _is_there(registry: Registry, training: Training) -> bool:
    try:
        return registry.get_training(training.id).id == training.id
    except TrainingNotFound:
        return False


@pytest.mark.slow
def test_trainings_that_failed_long_ago_are_deleted_and_no_others(registry: Registry) -> None:
    states: tuple[TrainingState, ...] = ("failed", "cancelled", "succeeded", "running", "queued")
    trainings = [_ended(registry, state) for state in states]

    _retention(registry, 29).sweep_trainings(GOING_ON)
    assert all(_is_there(registry, training) for training in trainings)

    _retention(registry, 31).sweep_trainings(GOING_ON)
    left = [training.state for training in trainings if _is_there(registry, training)]
    assert left == ["succeeded", "running", "queued"]


def test_a_run_that_a_registered_version_came_from_is_never_deleted(
    registry: Registry, tmp_path: Path
) -> None:
    # As if the result could not be put in use: the training failed, and its version exists.
    training = _ended(registry, "failed")
    _registered(registry, training, tmp_path, "kept")

    _retention(registry, 10_000, failed=1).sweep_trainings(GOING_ON)
    assert _is_there(registry, training)
    assert registry.get_version("kept", 1).run_id == training.id

    registry.delete_version("kept", 1)
    _retention(registry, 10_000, failed=1).sweep_trainings(GOING_ON)
    assert not _is_there(registry, training)


def test_a_data_set_that_nothing_uses_is_deleted_with_its_rows(
    registry: Registry, tmp_path: Path
) -> None:
    data_set = _uploaded(registry, tmp_path, "unused")

    _retention(registry, 29).sweep_data_sets(GOING_ON)
    assert registry.get_data_set("unused") == data_set

    _retention(registry, 31).sweep_data_sets(GOING_ON)
    with pytest.raises(DataSetNotFound):
        registry.get_data_set("unused")
    assert "unused" not in [one.name for one in registry.list_data_sets()]
    with pytest.raises((DataSetNotFound, RegistryUnavailable, FileNotFoundError)):
        registry.fetch_data_set(data_set, tmp_path / "fetched")


def test_a_data_set_that_a_version_or_an_open_training_uses_is_kept(
    registry: Registry, tmp_path: Path
) -> None:
    used, older = (_uploaded(registry, tmp_path, "used", rows) for rows in (b"1", b"2"))
    opened = _uploaded(registry, tmp_path, "opened")
    training = _ended(registry, "succeeded", "used")
    registry.record_result(training, {}, used, None)
    _registered(registry, training, tmp_path, "user")
    running = _ended(registry, "running", "opened")

    _retention(registry, 31).sweep_data_sets(GOING_ON)

    # Of the rows of a name, only those that the version was trained on.
    assert registry.get_data_set("used").id == used.id != older.id
    assert registry.get_data_set("opened").id == opened.id
    assert registry.fetch_data_set(used, tmp_path / "fetched").read_bytes() == b"1"

    registry.delete_version("user", 1)
    registry.close_training(replace(running, state="failed", finished_at=time.time()))
    _retention(registry, 31).sweep_data_sets(GOING_ON)
    assert registry.old_data_sets(time.time() + 1) == []


def test_an_upload_of_the_same_rows_counts_as_a_new_one(registry: Registry, tmp_path: Path) -> None:
    data_set = _uploaded(registry, tmp_path, "again")
    between = time.time() + 0.001
    wait_until(lambda: time.time() > between)

    assert _uploaded(registry, tmp_path, "again").id == data_set.id

    assert registry.old_data_sets(between) == []
    registry.delete_rows(data_set, between)  # as by a replica that listed it earlier
    assert registry.get_data_set("again").id == data_set.id
    _retention(registry, 31).sweep_data_sets(GOING_ON)


def test_several_replicas_that_sweep_concurrently_delete_the_same_as_one(
    registry: Registry, tmp_path: Path
) -> None:
    gone = [_ended(registry, "failed") for _ in range(5)]
    _uploaded(registry, tmp_path, "swept")
    replicas = [_retention(registry, 31) for _ in range(3)]
    failures: list[Exception] = []

    def sweep(one: Retention) -> None:
        try:
            one.sweep_trainings(GOING_ON)
            one.sweep_data_sets(GOING_ON)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=sweep, args=(one,)) for one in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert not any(_is_there(registry, training) for training in gone)
    assert registry.old_data_sets(time.time() + 1) == []


def test_nothing_is_deleted_without_a_setting(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    training = _ended(registry, "failed")
    _uploaded(registry, tmp_path, "kept")

    _retention(registry, 10_000, failed=0, unused=0).run(GOING_ON)

    assert _is_there(registry, training)
    assert registry.get_data_set("kept")


def test_a_sweep_that_mlflow_does_not_answer_is_logged_and_not_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = FakeRegistry(tmp_path)
    training = _ended(registry, "failed")
    stopping = threading.Event()
    registry.down = True
    retention = _retention(registry, 31)
    retention.seconds = 0.01
    thread = threading.Thread(target=retention.run, args=(stopping,))
    with caplog.at_level(logging.WARNING):
        thread.start()
        wait_until(lambda: "repeated later" in caplog.text)

    registry.down = False

    wait_until(lambda: not registry.trainings)
    stopping.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert training.id not in registry.trainings


def test_the_service_sweeps_once_it_has_started(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    training = _ended(registry, "failed")
    year_ago = time.time() - 365 * 86_400
    registry.trainings[training.id] = replace(training, created_at=year_ago, finished_at=year_ago)
    settings = settings_for(tmp_path / "data", keep_failed_days=364)

    with serve(settings, registry) as client:
        wait_until(lambda: client.get(f"/trainings/{training.id}").status_code == 404)
