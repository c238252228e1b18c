"""Data sets that are larger than other uploads may be: stored in parts, read by a training."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from service.worker.data.csv import read_csv
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

UPLOAD = 40_000
LARGEST = 2_000_000
ROWS = 3_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("large")


@pytest.fixture(scope="module")
def registry(folder: Path) -> FakeRegistry:
    return FakeRegistry(folder / "registry")


@pytest.fixture(scope="module")
def client(folder: Path, registry: FakeRegistry) -> Iterator[Client]:
    settings = settings_for(
        folder / "data", max_upload_bytes=UPLOAD, max_dataset_bytes=LARGEST, max_bulk_rows=500
    )
    with serve(settings, registry) as client:
        yield client


def rows(seed: int = 0, labels: tuple[str, ...] = ("no", "yes")) -> str:
    """Return a CSV file that no form may have; whether x is positive decides its label."""
    random = np.random.default_rng(seed)
    lines = ["x,y,city,label"]
    for row in range(ROWS):
        x, y = random.normal(size=2).tolist()
        lines.append(f"{x!r},{y!r},{('rio', 'oslo')[row % 2]},{labels[int(x > 0) % len(labels)]}")
    return "\n".join(lines) + "\n"


def store(client: Client, name: str, content: str | bytes, **options: str) -> httpx.Response:
    kind = "application/vnd.apache.parquet" if isinstance(content, bytes) else "text/csv"
    return client.post(
        "/datasets",
        params={"name": name, "target": "label", **options},
        content=content,
        headers={"content-type": kind},
    )


def train(client: Client, **body: Any) -> httpx.Response:
    defaults = {"name": "m", "model_type": "DecisionTreeClassifier", "dataset": "big"}
    return client.post("/train", json={**defaults, **body})


@pytest.fixture(scope="module")
def big(client: Client) -> dict[str, Any]:
    content = rows()
    assert UPLOAD < len(content) < LARGEST
    response = store(client, "big", content)
    assert response.status_code == 201, response.text
    described: dict[str, Any] = response.json()
    return described


def test_a_large_file_is_kept_as_one_that_is_read_as_a_whole(
    client: Client, registry: FakeRegistry, big: dict[str, Any]
) -> None:
    table = read_csv(rows().encode())

    assert big["sha256"] == table.sha256()
    assert big["rows"] == ROWS
    assert big["columns"] == table.summary()
    kept = registry.get_data_set("big")
    path = registry.folder / "datasets" / kept.id / "rows.parquet"
    assert kept.bytes == path.stat().st_size > UPLOAD
    assert client.get("/datasets/big").json() == big


def test_a_large_parquet_file_of_the_same_rows_is_the_same_data_set(
    client: Client, registry: FakeRegistry, big: dict[str, Any]
) -> None:
    sink = io.BytesIO()
    kept = registry.get_data_set("big")
    pq.write_table(pq.read_table(registry.folder / "datasets" / kept.id / "rows.parquet"), sink)

    response = store(client, "big-too", sink.getvalue())

    assert response.json()["sha256"] == big["sha256"]


def test_a_file_over_the_limit_of_data_sets_is_too_large(client: Client) -> None:
    response = store(client, "over", "x,label\n" + "1,a\n" * (LARGEST // 4))

    assert response.status_code == 413
    assert f"{LARGEST:,} bytes" in response.json()["detail"]


@pytest.mark.parametrize("form", [True, False])
def test_a_large_form_or_json_is_refused_with_what_to_send_instead(
    client: Client, form: bool
) -> None:
    if form:
        response = client.post("/datasets", files={"file": ("big.csv", rows())})
    else:
        body = {"columns": ["x", "label"], "rows": [[0.123456789, "a"]] * 4_000}
        response = client.post("/datasets", params={"name": "json"}, json=body)

    assert response.status_code == 413
    detail = response.json()["detail"]
    assert f"{UPLOAD:,} bytes" in detail
    assert f"send the file itself, as CSV or Parquet, of up to {LARGEST:,} bytes" in detail


def test_a_training_on_a_form_keeps_the_limit_of_uploads(client: Client) -> None:
    data = {"target": "label", "model_type": "DecisionTreeClassifier"}
    response = client.post("/train", files={"file": ("big.csv", rows())}, data=data)

    assert response.status_code == 413


@pytest.mark.usefixtures("big")
def test_a_training_reads_the_rows_when_it_runs(client: Client, registry: FakeRegistry) -> None:
    response = train(client, exclude=["y"], use=False)

    assert response.status_code == 201, response.text
    training = response.json()
    assert training["metrics"]["accuracy"] > 0.95
    _, recorded, _ = registry.results[training["id"]]
    assert [column["name"] for column in recorded.columns] == ["x", "city", "label"]
    assert recorded.rows == ROWS
    version = client.get(f"/models/m/versions/{training['version']}").json()
    assert [feature["name"] for feature in version["schema"]["features"]] == ["x", "city"]


@pytest.mark.usefixtures("big")
def test_a_training_that_is_used_if_better_is_compared_on_rows_it_held_out(client: Client) -> None:
    train(client, params={"max_depth": 1, "max_leaf_nodes": 2}, seed=1)

    response = train(client, use="if-better", seed=2)

    assert response.status_code == 201, response.text
    assert response.json()["comparison"]["rows"] == ROWS // 5


def test_what_is_wrong_with_the_rows_ends_the_training_with_that_sentence(client: Client) -> None:
    assert store(client, "same", rows(labels=("yes",))).status_code == 201

    response = train(client, dataset="same")

    assert response.status_code == 400
    sentence = "has one class only; a classifier needs two"
    assert sentence in response.json()["detail"]
    assert response.json()["errors"][0]["pointer"] == "/target"
    failed = client.get("/trainings").json()["trainings"][0]
    assert (failed["state"], sentence in failed["error"]) == ("failed", True)


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"target": "lable"}, "/target"),
        ({"exclude": ["z"]}, "/exclude"),
        ({"exclude": ["label"]}, "/exclude"),
        ({"exclude": ["x", "y", "city"]}, "/dataset"),
        ({"types": {"z": "text"}}, "/types/z"),
        ({"model_type": "Nothing"}, "/model_type"),
        ({"dry_run": True}, "/dry_run"),
    ],
)
def test_what_the_record_tells_is_refused_at_once(
    client: Client, registry: FakeRegistry, body: dict[str, Any], pointer: str
) -> None:
    before = len(registry.trainings)

    response = train(client, **body)

    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] == pointer
    assert len(registry.trainings) == before


@pytest.mark.usefixtures("big")
def test_rows_are_appended_to_a_large_data_set(client: Client, registry: FakeRegistry) -> None:
    version = train(client, use=True).json()["version"]
    before = registry.get_data_set("big")
    instances = [{"x": 1.5, "y": 0.25, "city": "rio"}, {"x": -1.5, "y": 0.0, "city": "oslo"}]
    labels = {"labels": ["yes", "no"]}
    body = {"version": version, "append_to": "big", "instances": instances, **labels}

    response = client.post("/outcomes", json=body)

    assert response.status_code == 200, response.text
    after = registry.get_data_set("big")
    assert (after.rows, after.bytes > UPLOAD) == (before.rows + 2, True)
    table = pq.read_table(registry.folder / "datasets" / after.id / "rows.parquet")
    assert table.slice(before.rows).column("x").to_pylist() == [1.5, -1.5]
    assert train(client, use=False).status_code == 201


def test_one_large_file_is_received_at_a_time_and_small_ones_beside_it(client: Client) -> None:
    received, go_on = threading.Event(), threading.Event()
    first: list[int] = []

    def slowly() -> Iterator[bytes]:
        content = rows(3).encode()
        yield content[: UPLOAD + 1_000]
        received.set()
        assert go_on.wait(10)
        yield content[UPLOAD + 1_000 :]

    def send() -> None:
        with Client(base_url=client.base_url, timeout=60) as other:
            answer = other.post(
                "/datasets",
                params={"name": "slow"},
                content=slowly(),
                headers={"content-type": "text/csv"},
            )
            first.append(answer.status_code)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert received.wait(10)
        statuses = []
        while 503 not in statuses:  # Until the service has read what was sent.
            statuses.append(store(client, "second", rows(4)).status_code)
            assert len(statuses) < 100
        small = store(client, "small", "x,label\n1,a\n2,b\n")
    finally:
        go_on.set()
        sender.join(timeout=30)

    assert small.status_code == 201
    assert first == [201]
    assert store(client, "second", rows(5)).status_code == 201
