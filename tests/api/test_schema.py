"""What `GET /schema` and a version show of each feature, and what stays as it was elsewhere."""

from typing import Any

import msgspec
import pytest

from service.schema import contract
from service.schema.contract import Feature, Schema
from tests.support.server import Client

ROWS = [
    [34.5 + row % 9, "Rio" if row % 3 else "Oslo", row % 2 == 0, row % 4 // 2] for row in range(40)
]


@pytest.fixture
def customers(client: Client) -> Client:
    """The service with a model in use that reads a number, a text and a boolean."""
    columns = ["age", "city", "vip", "churned"]
    client.train(
        name="customers",
        model_type="GaussianNB",
        dataset={"columns": columns, "rows": ROWS},
        target="churned",
    )
    return client


def test_a_number_is_shown_with_the_range_of_training(customers: Client) -> None:
    age, city, vip = customers.get("/schema").json()["features"]

    assert (age["minimum"], age["maximum"]) == (34.5, 42.5)
    for other in (city, vip):
        assert not {"minimum", "maximum"} & set(other)


def test_every_feature_has_its_importance(customers: Client) -> None:
    found = [feature["importance"] for feature in customers.get("/schema").json()["features"]]

    assert max(found) == 1.0
    assert all(0.0 <= value <= 1.0 for value in found)


def test_a_version_shows_what_the_schema_of_the_model_in_use_shows(customers: Client) -> None:
    shown = customers.get("/schema").json()

    version = customers.get(f"/models/customers/versions/{shown['version']}").json()

    assert version["schema"]["features"] == shown["features"]


def test_a_refusal_shows_of_a_feature_what_a_client_needs_to_send_it(customers: Client) -> None:
    expected = customers.predict({"instances": [{}]}).json()["expected"]["features"]

    assert expected == [
        {"name": "age", "type": "number", "nullable": False},
        {"name": "city", "type": "text", "nullable": False, "categories": ["Oslo", "Rio"]},
        {"name": "vip", "type": "boolean", "nullable": False},
    ]


def _written(schema: Schema) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(contract.encode(schema))
    return decoded


def test_a_schema_of_an_older_release_has_no_importance() -> None:
    written = _written(Schema((Feature("x", "number", seen=(0.0, 1.0)),), ("a", "b")))
    del written["features"][0]["importance"]

    schema = contract.decode(msgspec.json.encode(written))

    assert schema.features[0].importance is None
    assert schema.features[0].seen == (0.0, 1.0)


def test_what_a_newer_release_adds_to_a_schema_is_ignored() -> None:
    schema = Schema((Feature("x", "number", importance=0.5),), ("a", "b"))
    written = _written(schema) | {"added": [1]}
    written["features"][0]["added"] = {"more": True}

    assert contract.decode(msgspec.json.encode(written)) == schema
