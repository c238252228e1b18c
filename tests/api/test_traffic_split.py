"""A split: who is answered by the second version, and which versions may answer clients so."""

import http.client
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

FLOWER = [5.1, 3.5, 1.4, 0.2]
SPLIT: dict[str, Any] = {
    "name": "iris", "version": 2, "mode": "split", "percent": 100, "key": "X-Customer"
}  # fmt: skip
HALF = {**SPLIT, "percent": 50}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service with two versions that have probabilities, and one that has none."""
    folder: Path = tmp_path_factory.mktemp("split")
    with serve(settings_for(folder / "data"), FakeRegistry(folder)) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        client.train(name="iris", model_type="GaussianNB", dataset="iris", use=False)
        client.train(name="iris", model_type="LinearSVC", dataset="iris", use=False)
        yield client


@pytest.fixture
def client(service: Client) -> Client:
    """The service with version 1 in use, and nothing beside it."""
    assert service.post("/use-model", json={"name": "iris", "version": 1}).status_code == 200
    return service


def put(client: Client, body: dict[str, Any]) -> None:
    response = client.put("/traffic", json=body)
    assert response.status_code == 200, response.text


def answered_by(client: Client, values: Sequence[str]) -> int:
    """Return the version that answers a request with these lines of the header, as they are."""
    host, _, port = client.base_url.netloc.partition(b":")
    connection = http.client.HTTPConnection(host.decode(), int(port), timeout=20)
    body = json.dumps({"instances": [FLOWER]}).encode()
    connection.putrequest("POST", "/predict")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    for value in values:
        connection.putheader("X-Customer", value)
    connection.endheaders(body)
    response = connection.getresponse()
    response.read()
    connection.close()
    return int(response.headers["x-model-version"])


def test_spaces_around_the_value_of_the_header_are_no_part_of_it(client: Client) -> None:
    put(client, HALF)
    customers = [f"customer {n}" for n in range(20)]

    plain = [answered_by(client, [name]) for name in customers]
    padded = [answered_by(client, [f" \t{name} \t "]) for name in customers]

    assert set(plain) == {1, 2}
    assert padded == plain


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_header_is_as_good_as_none(client: Client, value: str) -> None:
    put(client, SPLIT)

    assert answered_by(client, [value]) == 1


def test_a_version_without_probabilities_answers_no_clients_that_may_ask_for_them(
    client: Client,
) -> None:
    refused = client.put("/traffic", json={**SPLIT, "version": 3})

    assert refused.status_code == 409
    assert "it has no probabilities" in refused.json()["detail"]
    assert client.get("/traffic").json() == {"traffic": None}
    put(client, {**SPLIT, "version": 3, "mode": "shadow", "key": None})


def test_beside_a_version_without_probabilities_any_other_answers(client: Client) -> None:
    assert client.post("/use-model", json={"name": "iris", "version": 3}).status_code == 200

    put(client, SPLIT)

    assert answered_by(client, ["a"]) == 2
