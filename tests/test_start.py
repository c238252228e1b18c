"""The service as a separate process with an embedded MLflow: start, restart, stop, damage."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.registry.mlflow_registry import MlflowRegistry
from tests.support.process import (
    ROW,
    descendants,
    fail_to_start,
    is_ready,
    log_of,
    service_process,
)
from tests.support.server import ENDLESS, Client, serve, settings_for
from tests.support.stores import with_tables
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

CANARY = "hunter2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the service ran: it has a starter model, a training, a data set."""
    folder = with_tables(tmp_path_factory.mktemp("process") / "data")
    with serve(settings_for(folder, starter_model="iris")) as client:
        wait_until(lambda: is_ready(client))
        assert client.predict(ROW).json()["model"] == "iris"
        client.train(dataset="wine", model_type="RandomForestClassifier", use=False)
        client.post(
            "/datasets?name=kept&target=y",
            content="x,y\n1,u\n2,v\n",
            headers={"content-type": "text/csv"},
        )
        client.post("/use-model", json={"name": "wine", "version": 1})
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy of that folder in another place, for tests that damage it."""
    return shutil.copytree(folder, tmp_path / "data")


def test_a_folder_that_was_moved_is_served_from_where_it_is_now(folder: Path, copy: Path) -> None:
    before = {path for path in folder.rglob("*") if path.parent.name != "work"}
    shutil.rmtree(copy / "cache")

    with service_process(copy) as (_, client):
        wait_until(lambda: is_ready(client))
        client.train(dataset="iris", model_type="GaussianNB", name="moved")

    assert {path for path in folder.rglob("*") if path.parent.name != "work"} == before
    assert len(list((copy / "artifacts").rglob("model.onnx"))) == 3


@dataclass(frozen=True, slots=True)
class Killed:
    """A service that was killed in a training, with a native model in use, and runs again."""

    maps: str
    """The files that were mapped into the process."""
    workers: Sequence[str]
    """Those that were mapped into each worker, of which the last one served the model."""
    training: str
    folder: Path
    client: Client


@pytest.fixture(scope="module")
def killed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("killed") / "data")
    with service_process(copy) as (process, client):
        wait_until(lambda: is_ready(client))
        client.train(dataset="iris", model_type="KNeighborsClassifier", name="near")
        assert client.predict(ROW).json()["model"] == "near"
        maps, *workers = map(_maps, (process.pid, *descendants(process.pid)))
        training = client.post("/train", json=ENDLESS).json()["id"]
        wait_until(lambda: _fitting(client) == training)
        children = descendants(process.pid)
        assert len(children) > len(workers)

        process.kill()

        wait_until(lambda: not any(map(_is_alive, children)))
    with service_process(copy) as (_, client):
        yield Killed(maps, workers, training, copy, client)


def _maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_a_process_killed_in_a_training_leaves_none_that_runs_for_ever(killed: Killed) -> None:
    training = killed.client.wait_for_training(killed.training)

    assert training["state"] == "failed"
    assert "gone" in training["error"]
    assert killed.client.get("/use-model").json()["name"] == "near"
    assert not list((killed.folder / "work" / "uploads").iterdir())


def test_a_native_model_leaves_scikit_learn_out_of_the_service_and_dies_with_it(
    killed: Killed,
) -> None:
    # The fixture has waited for the end of all workers.
    assert len(killed.workers) == 2
    assert "/sklearn/" not in killed.maps
    assert "/sklearn/" in killed.workers[-1]

    wait_until(lambda: is_ready(killed.client))
    assert killed.client.predict(ROW).json()["model"] == "near"


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@dataclass(frozen=True, slots=True)
class Stopped:
    """A service that got one signal in a training for which a client waited."""

    response: httpx.Response
    """What that client got."""
    code: int
    folder: Path
    training: str


@pytest.fixture(scope="module", params=[signal.SIGTERM, signal.SIGINT])
def stopped(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Stopped:
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("stopped") / "data")
    with service_process(copy) as (process, client), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/train", json={**ENDLESS, "wait": 60})
        training = wait_until(lambda: _fitting(client))

        process.send_signal(request.param)
        response = waiting.result(timeout=5)
        return Stopped(response, process.wait(timeout=10), copy, training)


def _fitting(client: Client) -> str | None:
    """Return the id of the newest training once it fits."""
    newest = client.get("/trainings").json()["trainings"][0]
    return str(newest["id"]) if newest.get("stage") == "fit" else None


def test_the_first_signal_is_a_clean_end_in_which_who_waits_is_answered(stopped: Stopped) -> None:
    assert stopped.response.status_code == 503
    assert stopped.response.headers["content-type"] == "application/problem+json"
    assert stopped.response.headers["retry-after"].isdigit()
    assert stopped.code == 0


def test_a_stop_in_a_training_closes_it_and_the_model_in_use_stays(stopped: Stopped) -> None:
    registry = MlflowRegistry("", stopped.folder)
    training, use = registry.get_training(stopped.training), registry.newest_use()
    registry.close()

    assert training.state == "failed"
    assert training.error == "The service was stopped while it ran."
    assert use is not None
    assert use.name == "wine"


def test_the_second_signal_ends_at_once(copy: Path) -> None:
    with service_process(copy) as (process, client):
        host, port = client.base_url.host, client.base_url.port or 80
        with socket.create_connection((host, port), timeout=10) as half:
            half.sendall(b"GET /readyz HTTP/1.1\r\n")
            probe = httpx.Client(base_url=client.base_url)
            probe.get("/healthz")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: probe.get("/readyz").headers.get("connection") == "close")
            probe.close()
            process.send_signal(signal.SIGTERM)

            assert process.wait(timeout=2) == -signal.SIGTERM


def test_every_line_of_the_log_is_one_json_object(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with service_process(folder, host="::1", log_level="debug") as (_, client):
        assert client.base_url.host == "::1"
        wait_until(lambda: is_ready(client))
        client.train(
            dataset="iris",
            model_type="MLPClassifier",
            params={"max_iter": 1},
            use=False,
        )
        client.predict(b"{")

    lines = [json.loads(line) for line in log_of(folder).read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    messages = [line["message"] for line in lines]
    started = messages.index("Application startup complete.")
    listening = next(i for i, text in enumerate(messages) if text.startswith("listening on"))
    assert started < listening
    assert messages[listening].startswith("listening on http://[::1]:")


def test_a_model_file_changed_on_disk_is_not_served_and_another_one_can_be(copy: Path) -> None:
    shutil.rmtree(copy / "cache")
    graphs = list((copy / "artifacts").rglob("model.onnx"))
    forest = max(graphs, key=lambda path: path.stat().st_size)
    forest.write_bytes(forest.read_bytes()[:-1] + b"x")

    with service_process(copy) as (_, client):
        refused = client.predict({"instances": []})
        assert refused.status_code == 503
        assert "is not the one that was registered" in refused.json()["detail"]
        assert client.get("/readyz").status_code == 503

        assert client.post("/use-model", json={"name": "wine", "version": 1}).status_code == 409
        assert client.post("/use-model", json={"name": "iris", "version": 1}).status_code == 200
        assert client.predict(ROW).status_code == 200
        assert is_ready(client)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[int, Client]]:
    """The service, restarted on that folder: its process id, and a client."""
    os.environ["MLFLOW_TRACKING_PASSWORD"] = CANARY
    try:
        with service_process(folder) as (process, client):
            wait_until(lambda: is_ready(client))
            yield process.pid, client
    finally:
        del os.environ["MLFLOW_TRACKING_PASSWORD"]


def test_a_restart_finds_everything_where_it_was(running: tuple[int, Client]) -> None:
    _, client = running

    assert client.get("/use-model").json()["name"] == "wine"
    models = client.get("/models").json()["models"]
    assert {(item["name"], item["version"]) for item in models} == {("iris", 1), ("wine", 1)}
    trainings = client.get("/trainings").json()["trainings"]
    assert [training["state"] for training in trainings] == ["succeeded", "succeeded"]
    assert client.get("/datasets/kept").json()["rows"] == 2
    assert client.predict(client.get("/schema").json()["example"]).status_code == 200


def test_a_second_process_on_the_same_folder_gives_up(
    folder: Path, running: tuple[int, Client]
) -> None:
    assert "in use by another process" in fail_to_start(folder)
    assert is_ready(running[1])


def test_the_serving_process_stays_below_250_mb_and_has_no_data_library(
    running: tuple[int, Client],
) -> None:
    pid, client = running
    client.train(dataset="iris", model_type="GaussianNB", name="light")
    client.post("/train", files={"file": b"x,y\n" + b"1,u\n2,v\n" * 20}, data={"target": "y"})
    for path in ("/models", "/models/light/versions/1", "/trainings", "/datasets/kept", "/schema"):
        assert client.get(path).status_code == 200
    status = Path(f"/proc/{pid}/status").read_text()
    # The compiled modules of an imported library are mapped into the process.
    maps = Path(f"/proc/{pid}/maps").read_text()

    assert int(status.split("VmRSS:")[1].split()[0]) * 1024 < 250e6
    assert not {
        name
        for name in ("pandas", "pyarrow", "scipy", "sklearn", "matplotlib")
        if f"/{name}/" in maps
    }


def test_workers_see_no_secret_of_the_service(running: tuple[int, Client]) -> None:
    pid, client = running
    assert client.get("/model-types").status_code == 200  # the worker host has finished its imports
    host, *_ = descendants(pid)

    assert CANARY.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    assert CANARY.encode() not in Path(f"/proc/{host}/environ").read_bytes()
    # Forking a process with more than one thread is not safe.
    assert len(list(Path(f"/proc/{host}/task").iterdir())) == 1


def test_nothing_is_sent_to_anybody_from_the_serving_process(running: tuple[int, Client]) -> None:
    pid, client = running
    client.predict(client.get("/schema").json()["example"])
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:")}
    remote = [
        line.split()[2]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[9] in inodes
    ]

    # Listening sockets have no peer; 127.0.0.1 is in hexadecimal, in reverse byte order.
    assert remote
    assert all(address.startswith(("00000000:", "0100007F:")) for address in remote), remote
