"""Files of rows as people have them, sent to the service."""

from typing import Any

import httpx

from tests.support.server import Client

YN = ("y", "n")


def table(header: str, *columns: list[Any], separator: str = ",") -> str:
    """Return a CSV file with 40 rows, in which the values of each column repeat."""
    rows = [[values[row % len(values)] for values in columns] for row in range(40)]
    return "\n".join([header, *(separator.join(map(str, row)) for row in rows)]) + "\n"


def train(client: Client, file: str | bytes, **fields: str) -> httpx.Response:
    defaults = {"name": "files", "target": "ok", "model_type": "DecisionTreeClassifier"}
    return client.post("/train", files={"file": ("file.csv", file)}, data={**defaults, **fields})


def trained(client: Client, file: str | bytes, **fields: str) -> dict[str, Any]:
    """Train on a file and return the schema of the version, with the notes of the training."""
    response = train(client, file, **fields)
    assert response.status_code == 201, response.text
    schema: dict[str, Any] = client.get("/schema").json()
    schema["notes"] = response.json()["notes"]
    return schema


def refusal(client: Client, file: str | bytes, status: int = 400, **fields: str) -> str:
    response = train(client, file, **fields)
    assert response.status_code == status, response.text
    return str(response.json()["detail"])


def predict(client: Client, file: str | bytes, media: str = "text/csv") -> list[Any]:
    response = client.post("/predict", content=file, headers={"content-type": media})
    assert response.status_code == 200, response.text
    predictions: list[Any] = response.json()["predictions"]
    return predictions


def notes_of(schema: dict[str, Any], column: str | None) -> list[str]:
    return [note["message"] for note in schema["notes"] if note["column"] == column]


def types(schema: dict[str, Any]) -> dict[str, str]:
    return {feature["name"]: feature["type"] for feature in schema["features"]}
