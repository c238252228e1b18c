"""A second version that cannot answer as it should: outcomes are counted, its errors told."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.common.errors import WorkersUnavailable
from service.processes.job import WorkerProcess
from tests.support.exposed import samples_of
from tests.support.fakes import FakeRegistry
from tests.support.memory import children
from tests.support.server import Client, SharedWorkers, serve, settings_for
from tests.support.waiting import stop, wait_until

FLOWER = [5.1, 3.5, 1.4, 0.2]
HUGE = [1e200, 3.5, 1.4, 0.2]
"""The version in use answers it, and the second one has no finite probabilities for it."""

ALMOST, NATIVE = 2, 3
"""Versions that may stand beside the one in use: one overflows, one is in another process."""


class FragileWorkers(SharedWorkers):
    """Workers of which none serves a classifier any more once a test says so."""

    are_lost = False

    def serve(self, connections: int) -> tuple[WorkerProcess, list[socket.socket]]:
        if self.are_lost:
            raise WorkersUnavailable
        return super().serve(connections)


@pytest.fixture(scope="module")
def workers() -> Iterator[FragileWorkers]:
    workers = FragileWorkers()
    yield workers
    workers.end()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, workers: FragileWorkers) -> Iterator[Client]:
    """A service with version 1 in use."""
    folder: Path = tmp_path_factory.mktemp("service")
    with serve(settings_for(folder / "data"), FakeRegistry(folder), workers) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        for model_type in ("GaussianNB", "KNeighborsClassifier"):
            client.train(name="iris", model_type=model_type, dataset="iris", use=False)
        yield client


def put_beside(client: Client, version: int) -> None:
    body = {"name": "iris", "version": version, "mode": "shadow", "percent": 100}
    response = client.put("/traffic", json=body)
    assert response.status_code == 200, response.text


@pytest.fixture
def processes(client: Client, workers: FragileWorkers) -> set[int]:
    """Put the native version beside the one in use; return the ids of what serves it."""
    put_beside(client, NATIVE)
    assert workers.host is not None
    pids = set(children(workers.host))
    assert pids
    return pids


def counted(client: Client) -> int:
    """Return the rows that `/outcomes` has counted of version 1."""
    listed = client.get("/outcomes", params={"name": "iris", "version": 1}).json()["outcomes"]
    return sum(one["rows"] for one in listed)


def tell(client: Client, *instances: list[float]) -> dict[str, Any]:
    """Tell that these were all of one class; return what both versions had right."""
    before = counted(client)
    body = {"version": 1, "instances": instances, "labels": ["setosa"] * len(instances)}
    response = client.post("/outcomes", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["rows"] == len(instances)
    assert counted(client) == before + len(instances)
    told: dict[str, Any] = client.get("/traffic").json()["traffic"]["outcomes"] or {"rows": 0}
    return told


def value(client: Client, name: str) -> float:
    return samples_of(client.get("/metrics").text)[name, frozenset()]


def test_rows_on_which_the_second_version_fails_are_counted_and_wrong_for_it(
    client: Client,
) -> None:
    put_beside(client, ALMOST)
    second = f"/models/iris/versions/{ALMOST}/predict"
    assert client.post(second, json={"instances": [HUGE]}).status_code == 400
    (label,) = client.predict({"instances": [HUGE]}).json()["predictions"]

    told = tell(client, FLOWER, HUGE, FLOWER)

    right = int(label == "setosa")
    assert (told["rows"], told["only_in_use_right"], told["only_second_right"]) == (3, right, 0)


def test_a_second_version_whose_process_is_gone_leaves_outcomes_counted(
    client: Client, workers: FragileWorkers, processes: set[int]
) -> None:
    lost = value(client, "service_classifiers_lost_total")
    workers.are_lost = True
    try:
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        ended = lost + len(processes)
        wait_until(lambda: value(client, "service_classifiers_lost_total") == ended)

        assert tell(client, FLOWER, FLOWER) == {"rows": 0}
    finally:
        workers.are_lost = False

    wait_until(lambda: tell(client, FLOWER)["rows"])  # it has been started again


@pytest.mark.slow
def test_a_second_version_that_is_busy_leaves_outcomes_counted(
    client: Client, processes: set[int]
) -> None:
    """Clients hold both connections to its process, and it takes five seconds to give up."""
    second = f"/models/iris/versions/{NATIVE}/predict"
    for pid in processes:
        stop(pid)
    with ThreadPoolExecutor(2) as pool:
        body = {"instances": [FLOWER]}
        calls = [pool.submit(client.post, second, json=body) for _ in range(2)]
        try:
            wait_until(lambda: value(client, "service_predictions_in_flight") == 2)

            assert tell(client, FLOWER, FLOWER) == {"rows": 0}
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)
        assert [call.result(30).status_code for call in calls] == [200, 200]

    assert tell(client, FLOWER)["rows"] == 1


def test_requests_of_a_split_that_the_second_version_fails_to_answer_are_its_errors(
    client: Client, workers: FragileWorkers, processes: set[int]
) -> None:
    body = {"name": "iris", "version": NATIVE, "mode": "split", "percent": 100, "key": "X-Customer"}
    assert client.put("/traffic", json=body).status_code == 200
    workers.are_lost = True
    try:
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        one = {"instances": [FLOWER]}
        statuses = [client.predict(one, **{"x-customer": "a"}).status_code for _ in range(20)]
    finally:
        workers.are_lost = False

    failed = statuses.count(503)
    assert failed > 0
    wait_until(lambda: client.get("/traffic").json()["traffic"]["errors"] == failed)
