"""`append_to` in `/outcomes`: rows with their labels become part of a data set's next content."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from tests.support.columnar import encoded
from tests.support.fakes import FakeRegistry
from tests.support.keys import line
from tests.support.server import Client, serve, settings_for

COLUMNS = ["age", "city", "vip", "churned"]
STORED: list[list[Any]] = [[34.5, "Rio", True, "yes"], [None, None, False, "no"]] * 10
NEW: list[list[Any]] = [
    [1.5, "Rio", False, "yes"],
    [None, None, True, "no"],
    [-2.0, "Rio", True, "no"],
]
TRAINING = {"name": "churn", "dataset": "customers", "model_type": "DecisionTreeClassifier"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    """A registry with the data set `customers` and a version that was trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    registry = FakeRegistry(folder / "registry")
    with serve(settings_for(folder / "data"), registry) as client:
        store(client, "customers", COLUMNS, STORED)
        client.train(**TRAINING)
    return registry


@pytest.fixture
def registry(trained: FakeRegistry, tmp_path: Path) -> FakeRegistry:
    return trained.copy(tmp_path / "registry")


@pytest.fixture
def client(registry: FakeRegistry, tmp_path: Path) -> Iterator[Client]:
    with serve(settings_for(tmp_path / "data"), registry) as client:
        yield client


def store(client: Client, name: str, columns: list[str], rows: list[list[Any]]) -> None:
    response = client.post(
        "/datasets",
        params={"name": name, "target": columns[-1]},
        json={"columns": columns, "rows": rows},
    )
    assert response.status_code == 201, response.text


def tell(client: Client, rows: list[list[Any]] = NEW, **more: Any) -> httpx.Response:
    instances = [dict(zip(COLUMNS[:-1], row[:-1], strict=True)) for row in rows]
    body = {"version": 1, "instances": instances, "labels": [row[-1] for row in rows]}
    headers = more.pop("headers", {})
    return client.post(
        "/outcomes", json={"append_to": "customers", **body, **more}, headers=headers
    )


def content(registry: FakeRegistry, name: str = "customers") -> list[list[Any]]:
    data_set = registry.get_data_set(name)
    table = pq.read_table(registry.folder / "datasets" / data_set.id / "rows.parquet")
    return [[row[column] for column in COLUMNS] for row in table.to_pylist()]


def named(rows: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def test_rows_and_labels_stand_behind_those_of_the_data_set(
    client: Client, registry: FakeRegistry
) -> None:
    response = tell(client)

    assert response.status_code == 200, response.text
    shown = client.get("/datasets/customers").json()
    assert response.json()["data_set"] == {key: shown[key] for key in ("name", "sha256", "rows")}
    assert content(registry) == [*STORED, *NEW]
    assert (shown["rows"], shown["target"]) == (23, "churned")
    again = client.train(**TRAINING)
    assert again["version"] == 2


@pytest.mark.parametrize("media", ["csv", "parquet", "arrow"])
def test_a_file_adds_the_same_rows(client: Client, registry: FakeRegistry, media: str) -> None:
    body, kind = encoded(named(NEW), media)

    response = client.post(
        "/outcomes?version=1&append_to=customers", content=body, headers={"content-type": kind}
    )

    assert response.status_code == 200, response.text
    assert content(registry) == [*STORED, *NEW]


def test_the_content_is_that_of_an_upload_of_all_rows(client: Client) -> None:
    tell(client)
    store(client, "whole", COLUMNS, [*STORED, *NEW])

    appended, whole = (client.get(f"/datasets/{name}").json() for name in ("customers", "whole"))
    assert appended["sha256"] == whole["sha256"]
    assert appended["columns"] == whole["columns"]


def test_without_the_wish_no_data_set_changes(client: Client, registry: FakeRegistry) -> None:
    response = tell(client, append_to=None)

    assert response.status_code == 200
    assert "data_set" not in response.json()
    assert content(registry) == STORED


def test_the_same_key_adds_the_rows_once(client: Client, registry: FakeRegistry) -> None:
    key = {"idempotency-key": "monday"}

    first, again = tell(client, headers=key), tell(client, headers=key)

    assert first.json() == again.json()
    assert content(registry) == [*STORED, *NEW]


def test_a_request_that_failed_after_its_rows_were_added_adds_them_once(
    client: Client, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"idempotency-key": "monday"}
    write = registry.write_outcomes

    def fail(*_: Any) -> Any:
        registry.down = True
        return write(*_)

    monkeypatch.setattr(registry, "write_outcomes", fail)
    assert tell(client, headers=key).status_code == 503
    registry.down = False
    monkeypatch.setattr(registry, "write_outcomes", write)
    again = tell(client, headers=key)

    assert again.status_code == 200
    assert again.json()["outcomes"]["rows"] == 3
    assert content(registry) == [*STORED, *NEW]


def test_requests_at_one_time_lose_no_row(client: Client, registry: FakeRegistry) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(
            pool.map(lambda at: tell(client, [[float(at), "Rio", True, "no"]]), range(4))
        )

    assert [reply.status_code for reply in replies] == [200] * 4
    added = content(registry)[len(STORED) :]
    assert sorted(row[0] for row in added) == [0.0, 1.0, 2.0, 3.0]


MISFITS: dict[str, tuple[list[str], list[list[Any]]]] = {
    "has no column 'vip'": (["age", "city", "churned"], [[1, "a", "yes"], [2, "b", "no"]]),
    "has the column 'id', and these rows do not": (["id", *COLUMNS], [[7, *STORED[0]]]),
    "has a text in the column 'age', and these rows a number": (
        COLUMNS,
        [["old", "Rio", True, "yes"]],
    ),
    "has a number in the column 'churned', and these rows a text": (
        COLUMNS,
        [[1.0, "Rio", True, 1]],
    ),
}


@pytest.mark.parametrize("reason", MISFITS)
def test_columns_that_differ_are_refused_and_nothing_is_counted(
    client: Client, registry: FakeRegistry, reason: str
) -> None:
    columns, rows = MISFITS[reason]
    store(client, "other", columns, rows)

    response = tell(client, append_to="other")

    assert response.status_code == 400, response.text
    assert response.json()["errors"] == [{"pointer": "/append_to", "message": reason}]
    assert not registry.outcomes
    assert client.get("/datasets/other").json()["rows"] == len(rows)


def test_wrong_outcomes_add_nothing(client: Client, registry: FakeRegistry) -> None:
    response = tell(client, [*NEW, [1.0, "Rio", True, "maybe"]])

    assert response.status_code == 400
    assert content(registry) == STORED


@pytest.mark.parametrize(
    ("name", "status"), [("nobody", 404), ("iris", 409), ("a b", 400), (7, 400), ("", 400)]
)
def test_a_data_set_that_takes_no_rows_is_refused(
    client: Client, registry: FakeRegistry, name: object, status: int
) -> None:
    assert tell(client, append_to=name).status_code == status
    assert not registry.outcomes


def test_adding_rows_needs_another_role_than_telling_outcomes(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("".join(line(role, role) for role in ("predict", "train", "admin")))
    registry = FakeRegistry(tmp_path / "registry")

    def bearer(role: str) -> dict[str, str]:
        return {"authorization": f"Bearer {role}"}

    with serve(settings_for(tmp_path / "data", api_keys_file=path), registry) as client:
        client.headers.update(bearer("admin"))
        store(client, "customers", COLUMNS, STORED)
        client.train(**TRAINING)

        plain = tell(client, append_to=None, headers=bearer("predict"))
        refused = tell(client, headers=bearer("predict"))
        body, kind = encoded(named(NEW), "csv")
        file = client.post(
            "/outcomes?version=1&append_to=customers",
            content=body,
            headers={"content-type": kind, **bearer("predict")},
        )
        added = tell(client, headers=bearer("train"))

    assert [one.status_code for one in (plain, refused, file, added)] == [200, 403, 403, 200]
    assert "a key of the role 'train'" in refused.json()["detail"]
    assert content(registry) == [*STORED, *NEW]
