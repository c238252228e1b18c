"""A native model in use: its replies, the loss of its worker, and what changes leave behind."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import stop, wait_until
from tests.support.workers import serving

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
ROWS = {"instances": [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]], "probabilities": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Client]:
    with serve(settings_for(folder / "data"), FakeRegistry(folder)) as client:
        client.train(name="graph", dataset="iris", model_type="LogisticRegression", use=False)
        client.train(name="near", dataset="iris", model_type="KNeighborsClassifier", use=False)
        yield client


@pytest.fixture
def client(service: Client) -> Iterator[Client]:
    """The service with the native model in use, in a worker that has just been started."""
    _use(service, "graph")
    _use(service, "near")
    yield service
    _use(service, "graph")


def _use(client: Client, name: str) -> None:
    used = client.post("/use-model", json={"name": name})
    assert used.status_code == 200, used.text
    assert client.predict(ROW).status_code == 200  # nothing holds the older one now


def _value(client: Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def process(service: Client) -> int:
    """Put the native model in use, and return the process id of its worker."""
    _use(service, "graph")
    before = serving()
    _use(service, "near")
    (started,) = serving() - before
    return started


def test_it_answers_with_labels_and_probabilities_and_refuses_as_a_graph_does(
    client: Client,
) -> None:
    reply = client.predict(ROWS).json()
    assert reply["predictions"] == ["setosa", "versicolor"]
    assert reply["probabilities"][0] == [1.0, 0.0, 0.0]

    near = client.predict({"instances": [[5.1, "x", 1.4]]})
    _use(client, "graph")
    graph = client.predict({"instances": [[5.1, "x", 1.4]]})
    assert near.status_code == graph.status_code == 400
    assert near.json()["detail"] == graph.json()["detail"]


def test_a_process_that_dies_costs_its_requests_a_503_and_another_one_answers(
    process: int, service: Client
) -> None:
    lost = _value(service, "service_classifiers_lost_total")
    stop(process)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(service.predict, ROW)
        wait_until(lambda: _value(service, "service_predictions_in_flight") == 1)
        # The event loop is not blocked.
        assert service.get("/healthz", timeout=5).status_code == 200
        os.kill(process, signal.SIGKILL)
        refused = call.result(30)

    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/classifier-unavailable"
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    wait_until(lambda: service.get("/readyz").status_code == 200)
    assert service.predict(ROW).json()["predictions"] == ["setosa"]
    assert _value(service, "service_classifiers_lost_total") == lost + 1


def test_the_replica_is_not_ready_while_there_is_no_process_to_answer(
    process: int, service: Client
) -> None:
    others = serving() - {process}
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: process not in serving())
    wait_until(lambda: service.get("/readyz").status_code == 200)
    (again,) = serving() - others

    os.kill(again, signal.SIGKILL)  # so soon that the restart is delayed by a second

    wait_until(lambda: service.get("/readyz").status_code == 503)
    assert service.predict(ROW).status_code == 503
    wait_until(lambda: service.get("/readyz").status_code == 200)
    assert service.predict(ROW).status_code == 200


def test_it_is_started_again_only_from_what_was_registered(
    process: int, service: Client, folder: Path
) -> None:
    (cached,) = (folder / "data" / "cache").glob("near-1-*")
    (cached / "model.skops").write_bytes(b"something else")

    os.kill(process, signal.SIGKILL)

    # Only a process that was started again can answer.
    wait_until(lambda: service.predict(ROW).status_code == 200)
    assert service.predict(ROW).json()["predictions"] == ["setosa"]
    assert (cached / "model.skops").read_bytes() != b"something else"


def test_a_process_that_dies_beside_a_graph_in_use_costs_nothing(
    process: int, service: Client
) -> None:
    service.post("/use-model", json={"name": "graph"})

    os.kill(process, signal.SIGKILL)

    assert {service.predict(ROW).status_code for _ in range(20)} == {200}
    assert service.get("/readyz").status_code == 200


@pytest.mark.slow
def test_nothing_is_left_of_fifty_changes(service: Client, folder: Path) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def cached() -> set[Path]:
        return set((folder / "data" / "cache").iterdir())

    _use(service, "near")
    near = serving()
    _use(service, "graph")
    wait_until(lambda: serving() < near)
    before, kept = files(), cached()
    others = serving()  # of services of other tests that are not yet garbage-collected

    for index in range(50):
        _use(service, ("near", "graph")[index % 2])

    wait_until(lambda: serving() <= others)
    assert files() <= before + 2  # connections of the server may still be closing
    assert cached() == kept
