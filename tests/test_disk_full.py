"""A full disk: predictions go on, and changes are refused with the reason.

Two methods: a small disk that is full (ENOSPC), and a limit on the size of files (EFBIG). The
limit needs no mount, and can admit writes of the database but refuse the larger model files.
"""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.mlflow_server import mlflow_server
from tests.support.process import ROW, descendants, is_ready, service_process
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LARGE: dict[str, Any] = {
    "name": "large",
    "model_type": "RandomForestClassifier",
    "params": {"n_estimators": 80},
    "dataset": "digits",
    "wait": 120,
}
"""A training whose version has files of more than 2 MiB."""

SMALL = {"name": "small", "model_type": "GaussianNB", "dataset": "iris", "use": False}
CSV = {"content-type": "text/csv"}

NOTHING = 0
LESS_THAN_THE_DATABASE = 64 * 2**10
"""Bytes with which MLflow's database can begin a change and not make it."""
LESS_THAN_A_MODEL = 2 * 2**20
"""Bytes that a file may have: the database is smaller, and a large model's file is not."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Client]]:
    """The service with the starter model in use, and a large one that was never loaded."""
    folder = tmp_path_factory.mktemp("disk") / "data"
    with service_process(folder) as (process, client):
        wait_until(lambda: is_ready(client))
        client.train(**LARGE, use=False)
        assert (folder / "mlflow.db").stat().st_size < LESS_THAN_A_MODEL
        assert client.post("/train", json={**SMALL, "use": True}).status_code == 201
        client.post("/use-model", json={"name": "iris", "version": 1})
        yield process.pid, client


@contextmanager
def _no_larger_file(pid: int, size: int) -> Iterator[None]:
    """Let no file of the service and of its worker hosts grow beyond `size`."""
    found = [one for one in (pid, *descendants(pid)) if _bound_files(one, size)]
    try:
        yield
    finally:
        for one in found:
            _bound_files(one, resource.RLIM_INFINITY)


def _bound_files(pid: int, size: int) -> bool:
    """Set this limit for a process, unless it is a job, which has a limit of its own."""
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        if hard == resource.RLIM_INFINITY:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
            return True
    return False


@contextmanager
def _predicting(client: Client) -> Iterator[list[int]]:
    """Predict during the block, and yield the statuses, which are complete at its end.

    At least one prediction begins and ends in the block.
    """
    statuses: list[int] = []
    done = False

    def predict() -> None:
        with Client(base_url=client.base_url, timeout=60) as own:
            while not done:
                statuses.append(own.predict(ROW).status_code)

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(predict)
        try:
            yield statuses
            # The next prediction may have begun before the block did.
            enough = len(statuses) + 2
            wait_until(lambda: len(statuses) >= enough or ended.done())
        finally:
            done = True
        ended.result()


def _assert_refused_for_want_of_space(response: httpx.Response) -> None:
    assert response.status_code == 503, (response.request.url, response.text)
    assert int(response.headers["retry-after"]) >= 1
    detail = response.json()["detail"]
    assert "no space is left" in detail or "disk is full" in detail, detail


def _state(client: Client) -> Any:
    """Return the state that a change would modify."""
    in_use = client.get("/use-model").json()
    models = client.get("/models").json()["models"]
    data_sets = client.get("/datasets").json()["datasets"]
    return (
        (in_use["name"], in_use["version"], in_use["epoch"]),
        [(item["name"], item["version"]) for item in models],
        [item["name"] for item in data_sets],
    )


@pytest.mark.parametrize("size", [NOTHING, LESS_THAN_THE_DATABASE, LESS_THAN_A_MODEL])
def test_predictions_go_on_and_changes_are_refused_while_no_file_may_grow(
    running: tuple[int, Client], size: int
) -> None:
    pid, client = running
    rows = b"x,y\n" + b"0.25,u\n0.75,v\n" * 200_000
    before = _state(client)

    with _no_larger_file(pid, size), _predicting(client) as statuses:
        refused = [
            client.post("/datasets?name=kept&target=y", content=rows, headers=CSV),
            client.post("/train", files={"file": rows}, data={"target": "y", "name": "kept"}),
            client.post("/train", json=LARGE),
            client.post("/use-model", json={"name": "large", "version": 1}),
        ]
        still = client.predict(client.get("/schema").json()["example"])

    for response in refused:
        _assert_refused_for_want_of_space(response)
    assert refused[-1].json()["outcome"] == "unchanged"
    assert still.json()["model"] == "iris"
    assert statuses
    assert set(statuses) == {200}
    assert _state(client) == before
    assert is_ready(client)


def test_a_training_that_finds_no_space_has_failed_for_that_reason(
    running: tuple[int, Client],
) -> None:
    pid, client = running
    with _no_larger_file(pid, LESS_THAN_A_MODEL):
        begun = client.post("/train", json={**LARGE, "wait": 0})

        ended = client.wait_for_training(begun.json()["id"])

    assert begun.status_code == 202
    assert (ended["state"], ended.get("version")) == ("failed", None)
    assert "no space is left" in ended["error"]


def test_files_of_rows_find_no_space_and_are_answered_later(running: tuple[int, Client]) -> None:
    pid, client = running
    names = ",".join(feature["name"] for feature in client.get("/schema").json()["features"])
    rows = f"{names}\n".encode() + b"5.1,3.5,1.4,0.2\n" * 100_000

    # The upload fits within the limit, and the matrix made from it does not.
    with _no_larger_file(pid, LESS_THAN_A_MODEL):
        _assert_refused_for_want_of_space(client.post("/predict", content=rows, headers=CSV))

    assert client.post("/predict", content=rows, headers=CSV).status_code == 200


@pytest.mark.parametrize(
    # A transaction that has begun leaves the database unreadable until it can be rolled back.
    ("size", "outcome"),
    [(NOTHING, "unchanged"), (LESS_THAN_THE_DATABASE, "unknown")],
)
def test_a_change_that_the_database_does_not_take_has_not_happened(
    running: tuple[int, Client], size: int, outcome: str
) -> None:
    pid, client = running
    before = _state(client)

    with _no_larger_file(pid, size):
        # The model's files are in the cache, so that only the commit needs the disk.
        refused = client.post("/use-model", json={"name": "small", "version": 1})
        still = client.predict(ROW)

    assert refused.status_code == 503, refused.text
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["outcome"] == outcome
    assert still.json()["model"] == "iris"
    wait_until(lambda: _state(client) == before)


@pytest.mark.parametrize("size", [NOTHING, LESS_THAN_THE_DATABASE])
def test_everything_works_as_soon_as_there_is_space_again(
    running: tuple[int, Client], size: int
) -> None:
    pid, client = running
    with _no_larger_file(pid, size):
        _assert_refused_for_want_of_space(client.post("/train", json=SMALL))

    assert client.train(**SMALL)["state"] == "succeeded"
    used = client.post("/use-model", json={"name": "large", "version": 1})
    assert used.status_code == 200, used.text
    client.post("/use-model", json={"name": "iris", "version": 1})


def test_a_disk_that_is_full_refuses_changes_until_it_is_not(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], check=True)
    try:
        with serve(settings_for(disk / "data", starter_model="iris")) as client:
            wait_until(lambda: is_ready(client))
            client.train(**LARGE, use=False)
            before = _state(client)
            with _predicting(client) as statuses:
                filler = disk / "filler"
                with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                    while file.write(b"0" * 4096):
                        pass

                refused = [
                    client.post("/datasets?name=kept", content=b"x,y\n1,2\n", headers=CSV),
                    client.post("/train", json=SMALL),
                    client.post("/use-model", json={"name": "large", "version": 1}),
                ]

            for response in refused:
                _assert_refused_for_want_of_space(response)
            assert set(statuses) == {200}
            assert _state(client) == before

            filler.unlink()
            assert client.train(**SMALL)["state"] == "succeeded"
            used = client.post("/use-model", json={"name": "large", "version": 1})
            assert used.status_code == 200, used.text
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_server_of_mlflow_that_has_no_space_is_told_and_needed_for_no_prediction(
    tmp_path: Path,
) -> None:
    (tmp_path / "server").mkdir()
    with (
        mlflow_server(tmp_path / "server") as uri,
        serve(settings_for(tmp_path / "data", mlflow_uri=uri, starter_model="iris")) as client,
    ):
        wait_until(lambda: is_ready(client))
        client.train(**SMALL)
        port = uri.rpartition(":")[2].encode()
        (server,) = [
            pid
            for pid in descendants(os.getpid())
            if b"mlflow" in (command := Path(f"/proc/{pid}/cmdline").read_bytes())
            and port in command
            and b"-m\0mlflow" in command
        ]

        with _no_larger_file(server, NOTHING), _predicting(client) as statuses:
            refused = [
                client.post("/datasets?name=kept", content=b"x,y\n1,2\n", headers=CSV),
                client.post("/train", json=SMALL),
                client.post("/use-model", json={"name": "small", "version": 1}),
            ]

        for response in refused:
            assert response.status_code == 503, (response.request.url, response.text)
            assert response.json()["type"] == "/problems/mlflow-unavailable"
            assert int(response.headers["retry-after"]) >= 1
        assert "an error of its own (5xx)" in refused[1].json()["detail"]
        assert set(statuses) == {200}
        assert client.train(**SMALL)["state"] == "succeeded"
        assert client.post("/use-model", json={"name": "small"}).status_code == 200
