"""`PUT /traffic` loads the second version once, and refuses what cannot answer."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.memory import children
from tests.support.server import Client, SharedWorkers, serve, settings_for
from tests.support.waiting import wait_until

FLOWER = [5.1, 3.5, 1.4, 0.2]
NATIVE, SPOILED, WRONG, OTHER_CONTRACT = 2, 3, 4, 5


@pytest.fixture(scope="module")
def workers() -> Iterator[SharedWorkers]:
    workers = SharedWorkers()
    yield workers
    workers.end()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, registry: FakeRegistry, workers: SharedWorkers
) -> Iterator[Client]:
    """A service with version 1 in use, and versions that were not loaded yet."""
    with serve(settings_for(tmp_path_factory.mktemp("data")), registry, workers) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        for model_type in ("KNeighborsClassifier", "GaussianNB", "GaussianNB"):
            client.train(name="iris", model_type=model_type, dataset="iris", use=False)
        client.train(name="iris", model_type="KNeighborsClassifier", dataset="wine", use=False)
        yield client


@pytest.fixture
def client(service: Client, workers: SharedWorkers) -> Client:
    """The service with nothing beside the version in use, and no process of a native version."""
    service.delete("/traffic")
    assert service.predict({"instances": [FLOWER]}).headers["x-model-version"] == "1"
    wait_until(lambda: not processes(workers))
    return service


def put(client: Client, version: int) -> tuple[int, str]:
    """Ask for a version beside the one in use; return the status and the sentence."""
    body = {"name": "iris", "version": version, "mode": "shadow", "percent": 100}
    response = client.put("/traffic", json=body)
    return response.status_code, response.json().get("detail", "")


def processes(workers: SharedWorkers) -> set[int]:
    """Return the ids of the processes of native versions."""
    return set() if workers.host is None else set(children(workers.host))


def test_a_native_second_version_is_one_process(client: Client, workers: SharedWorkers) -> None:
    assert put(client, NATIVE)[0] == 200

    assert len(processes(workers)) == 1
    address = f"/models/iris/versions/{NATIVE}/predict"
    assert client.post(address, json={"instances": [FLOWER]}).status_code == 200
    assert len(processes(workers)) == 1, "its own address is answered by the same one"


def test_a_version_of_another_contract_is_refused_without_a_process(
    client: Client, workers: SharedWorkers
) -> None:
    status, sentence = put(client, OTHER_CONTRACT)

    assert status == 409
    assert "feature" in sentence
    assert processes(workers) == set()


def test_a_version_whose_files_were_changed_is_refused(
    client: Client, registry: FakeRegistry
) -> None:
    file = registry.files(registry.versions["iris", SPOILED]) / "schema.json"
    file.write_bytes(file.read_bytes() + b" ")
    epoch = client.get("/use-model").json()["epoch"]

    status, sentence = put(client, SPOILED)

    assert status == 409
    assert "its file schema.json is not the one that was registered (sha256)" in sentence
    assert client.get("/use-model").json()["epoch"] == epoch


def test_a_version_that_does_not_answer_as_it_did_is_refused(
    client: Client, registry: FakeRegistry
) -> None:
    version = registry.versions["iris", WRONG]
    other = registry.files(registry.versions["iris", OTHER_CONTRACT]) / "golden.npz"
    golden = other.read_bytes()
    (registry.files(version) / "golden.npz").write_bytes(golden)
    digests = {**version.sha256, "golden.npz": sha256(golden).hexdigest()}
    registry.versions["iris", WRONG] = replace(version, sha256=digests)
    epoch = client.get("/use-model").json()["epoch"]

    status, sentence = put(client, WRONG)

    assert status == 409
    assert f"version {WRONG} cannot be served: the graph fails" in sentence
    assert client.get("/use-model").json()["epoch"] == epoch
    assert client.get("/traffic").json() == {"traffic": None}
