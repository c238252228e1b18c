"""OpenAPI against what is served: documented statuses, documented bodies, documented examples."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from service.api import bodies
from tests.server import Client

SERVED: dict[str, tuple[str, type[BaseModel]]] = {
    "get /schema": ("/schema", bodies.SchemaReply),
    "get /model-types": ("/model-types", bodies.ModelTypeList),
    "get /model-types/{name}": ("/model-types/SVC", bodies.ModelTypeReply),
    "get /datasets": ("/datasets", bodies.DataSetList),
    "get /datasets/{name}": ("/datasets/iris", bodies.DataSetReply),
    "get /models": ("/models", bodies.VersionList),
    "get /models/{name}/versions/{version}": ("/models/iris/versions/1", bodies.VersionDetail),
    "get /trainings": ("/trainings", bodies.TrainingList),
    "get /use-model": ("/use-model", bodies.UseReply),
}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


@pytest.mark.parametrize("operation", SERVED)
def test_a_reply_is_what_openapi_says(
    client: Client, document: dict[str, Any], operation: str
) -> None:
    path, model = SERVED[operation]
    method, route = operation.split()

    response = client.get(path)

    assert response.status_code == 200
    model.model_validate_json(response.content)
    shown = document["paths"][route][method]["responses"]["200"]["content"]["application/json"]
    assert shown["schema"]["$ref"] == f"#/components/schemas/{model.__name__}"


def test_the_documented_examples_work(client: Client, document: dict[str, Any]) -> None:
    posts = {
        path: item["post"]["requestBody"]["content"]["application/json"]["example"]
        for path, item in document["paths"].items()
        if "post" in item
    }

    assert set(posts) == {"/predict", "/train", "/datasets", "/use-model"}
    posts["/datasets?name=documented"] = posts.pop("/datasets")
    for path, body in posts.items():
        response = client.post(path, json=body)
        assert response.status_code in (200, 201), (path, response.text)


def test_replies_to_changes_are_what_openapi_says(client: Client) -> None:
    body = {"dataset": "iris", "model_type": "GaussianNB", "name": "checked"}

    trained = client.post("/train", json=body)
    changed = client.post("/use-model", json={"name": "checked"})
    predicted = client.predict({**client.get("/schema").json()["example"], "probabilities": True})

    bodies.TrainingReply.model_validate_json(trained.content)
    bodies.ChangeReply.model_validate_json(changed.content)
    bodies.PredictReply.model_validate_json(predicted.content)


def test_no_operation_promises_a_422(document: dict[str, Any]) -> None:
    statuses = {
        status
        for item in document["paths"].values()
        for operation in item.values()
        for status in operation["responses"]
    }

    assert "422" not in statuses
    assert {"400", "404", "409", "413", "415", "429", "503"} <= statuses


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))

    assert names <= set(document["components"]["schemas"])


def test_the_page_and_all_that_it_loads_come_from_the_service(client: Client) -> None:
    page = client.get("/docs").text

    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert all(link.startswith("/") for link in links)
    for link in links:
        assert client.get(link).status_code == 200
    assert client.get("/").headers["location"] == "/docs"
