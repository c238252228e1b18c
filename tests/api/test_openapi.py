"""The OpenAPI document against the real replies: statuses, bodies, headers and examples."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.api import schemas, use_model_schemas
from service.api.figures import FiguresReply
from service.api.inference.schemas import ErrorReply
from service.api.outcome_schemas import CountedReply, OutcomesList
from service.api.scoring.routes import ScoringErrorReply
from service.api.skew import SkewReply
from service.api.traffic_schemas import TrafficReply
from service.schema.contract import Feature, Schema
from service.schema.json_schema import MOST, request_schema
from tests.support.documented import (
    ERRORS,
    JSON,
    MADE_ELSEWHERE,
    NO_MLFLOW,
    NO_MODEL,
    OF_VERSION,
    PREDICTIONS,
)
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

SERVED: dict[str, tuple[str, type[BaseModel]]] = {
    "get /schema": ("/schema", schemas.SchemaReply),
    "get /model-types": ("/model-types", schemas.ModelTypeList),
    "get /model-types/{name}": ("/model-types/SVC", schemas.ModelTypeReply),
    "get /datasets": ("/datasets", schemas.DataSetList),
    "get /datasets/{name}": ("/datasets/iris", schemas.DataSetReply),
    "get /models": ("/models", schemas.VersionList),
    "get /models/{name}/versions/{version}": ("/models/iris/versions/1", schemas.VersionDetail),
    "get /trainings": ("/trainings", schemas.TrainingList),
    "get /use-model": ("/use-model", use_model_schemas.UseReply),
    "get /outcomes": ("/outcomes", OutcomesList),
    "get /access": ("/access", schemas.AccessReply),
    "get /figures": ("/figures", FiguresReply),
    "get /skew": ("/skew", SkewReply),
    "get /traffic": ("/traffic", TrafficReply),
    "get /healthz": ("/healthz", schemas.HealthReply),
    "get /readyz": ("/readyz", schemas.ReadyReply),
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

    repository = {f"/v2/repository/models/{{name}}/{act}" for act in ("load", "unload")}
    own = {"/predict", OF_VERSION, "/train", "/datasets", "/use-model", "/outcomes"}
    assert set(posts) == {*own, *PREDICTIONS, "/v2/repository/index", *repository}
    del posts["/v2/repository/models/{name}/unload"]  # the one in use cannot be unloaded
    posts = {re.sub("{name}", "iris", path): body for path, body in posts.items()}
    posts = {re.sub("{version}", "1", path): body for path, body in posts.items()}
    posts["/datasets?name=documented"] = posts.pop("/datasets")
    for path, body in posts.items():
        response = client.post(path, json=body)
        assert response.status_code in (200, 201), (path, response.text)


def test_replies_to_changes_are_what_openapi_says(client: Client) -> None:
    body = {"dataset": "iris", "model_type": "GaussianNB", "name": "checked"}

    trained = client.post("/train", json=body)
    changed = client.post("/use-model", json={"name": "checked"})
    predicted = client.predict({**client.get("/schema").json()["example"], "probabilities": True})

    instances = client.get("/schema").json()["example"]["instances"]
    labels = predicted.json()["predictions"]
    version = predicted.json()["version"]
    told = {"version": version, "instances": instances, "labels": labels}
    counted = client.post("/outcomes", json=told)

    schemas.TrainingReply.model_validate_json(trained.content)
    CountedReply.model_validate_json(counted.content)
    use_model_schemas.ChangeReply.model_validate_json(changed.content)
    schemas.PredictReply.model_validate_json(predicted.content)


def _error_of(route: str) -> tuple[type[BaseModel], str]:
    """Return the body of errors of a route, by its protocol, and their content type."""
    if route.startswith(("/v1", "/v2")):
        return ErrorReply, "application/json"
    if route in ("/invocations", "/ping", "/health", "/version"):
        return ScoringErrorReply, "application/json"
    return schemas.ProblemReply, "application/problem+json"


def _check_documented(
    document: dict[str, Any], case: str, response: httpx.Response, headers: tuple[str, ...] = ()
) -> None:
    """Check that an error matches what the document says about its operation and status."""
    method, route, status = case.split()
    shown = document["paths"][route][method]["responses"][status]
    model, media = _error_of(route)
    assert response.headers["content-type"] == media
    model.model_validate_json(response.content)
    schema = shown["content"][media]["schema"]
    assert schema == {"$ref": f"#/components/schemas/{model.__name__}"}
    documented = {name.lower() for name in shown["headers"]}
    # Those for browsers are on every reply, and say nothing to a client.
    told = {name for name in response.headers if name.startswith("x-")} - {"x-content-type-options"}
    told |= {"retry-after", "allow", "location"} & set(response.headers)
    assert {"x-request-id", *headers} <= told <= documented


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_what_openapi_says(client: Client, document: dict[str, Any], case: str) -> None:
    path, body, headers = ERRORS[case]
    method, _, status = case.split()

    response = client.request(method, path, content=body, headers=headers)

    assert response.status_code == int(status), response.text
    _check_documented(document, case, response)


@pytest.mark.parametrize("case", NO_MLFLOW)
def test_an_error_without_mlflow_is_what_openapi_says(
    client: Client, registry: FakeRegistry, document: dict[str, Any], case: str
) -> None:
    path, body = NO_MLFLOW[case]
    registry.down = True

    response = client.request(case.split()[0], path, content=body, headers=JSON if body else {})

    assert response.status_code == 503, response.text
    _check_documented(document, case, response, ("retry-after",))
    assert 1 <= int(response.headers["retry-after"]) <= 5


def test_errors_of_a_replica_that_has_nothing_are_what_openapi_says(
    document: dict[str, Any], tmp_path: Path
) -> None:
    registry = FakeRegistry(tmp_path / "registry")
    registry.down = True

    with serve(settings_for(tmp_path / "data"), registry) as bare:
        for case, (path, body) in NO_MODEL.items():
            headers = JSON if body else {}
            response = bare.request(case.split()[0], path, content=body, headers=headers)

            status = case.split()[-1]
            assert response.status_code == int(status), (case, response.text)
            more = ("retry-after",) if status == "503" else ()
            _check_documented(document, case, response, more)


def test_every_path_says_what_it_answers_to_another_method(
    client: Client, document: dict[str, Any]
) -> None:
    for route, item in document["paths"].items():
        response = client.patch(re.sub(r"{\w+}", "1", route))

        assert response.status_code == 405, route
        for method in item:
            _check_documented(document, f"{method} {route} default", response, ("allow",))
            assert method.upper() in response.headers["allow"]


def test_every_documented_error_is_made_by_a_test(document: dict[str, Any]) -> None:
    documented = {
        f"{method} {route} {status}"
        for route, item in document["paths"].items()
        for method, operation in item.items()
        for status in operation["responses"]
        if status != "default" and int(status) >= 400
    }

    assert documented == {*ERRORS, *NO_MLFLOW, *NO_MODEL, *MADE_ELSEWHERE}


def test_headers_of_good_replies_are_documented(client: Client, document: dict[str, Any]) -> None:
    trained = client.post("/train", json={"dataset": "iris", "model_type": "GaussianNB"})
    predicted = client.predict(client.get("/schema").json()["example"])

    for response, path, names in (
        (trained, "/train", {"Location"}),
        (predicted, "/predict", {"X-Model-Name", "X-Model-Version", "X-Model-Epoch"}),
    ):
        status = str(response.status_code)
        assert names <= set(document["paths"][path]["post"]["responses"][status]["headers"])
        assert {name.lower() for name in names} <= set(response.headers)


def test_a_name_is_refused_as_documented(client: Client, document: dict[str, Any]) -> None:
    pattern = document["components"]["schemas"]["UseModelRequest"]["properties"]["name"]["pattern"]

    for name, status in (("a/b", 400), ("x" * 257, 400), ("a b", 404), ("nobody", 404)):
        assert (re.search(pattern, name) is None) == (status == 400)
        assert client.post("/use-model", json={"name": name}).status_code == status


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
    headers = set(re.findall(r"#/components/headers/([\w-]+)", str(document)))
    assert headers == set(document["components"]["headers"])


def test_the_page_and_all_that_it_loads_come_from_the_service(client: Client) -> None:
    page = client.get("/docs").text

    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert all(link.startswith("/") for link in links)
    for link in links:
        assert client.get(link).status_code == 200
    assert "script-src 'self'" in client.get("/docs").headers["content-security-policy"]


def test_predict_is_documented_as_the_model_in_use_takes_it(tmp_path: Path) -> None:
    rows = [[34.5, "Rio", True, "yes"], [51, None, False, "no"]] * 20
    columns = ["age", "city", "vip", "churned"]
    with serve(settings_for(tmp_path / "data", max_rows=7), FakeRegistry(tmp_path)) as bare:
        general = _shown_of_predict(bare)
        bare.train(
            name="customers",
            model_type="RandomForestClassifier",
            params={"n_estimators": 3},
            dataset={"columns": columns, "rows": rows},
            target="churned",
        )
        customers = _shown_of_predict(bare)
        bare.train(dataset="iris", model_type="GaussianNB")
        flowers = _shown_of_predict(bare)

    assert set(general["properties"]) == set(customers["properties"])
    instances = customers["properties"]["instances"]
    assert (instances["minItems"], instances["maxItems"]) == (1, 7)
    instance = instances["items"]
    assert instance["required"] == ["age", "city", "vip"]
    assert instance["additionalProperties"] is False
    assert instance["properties"]["age"]["type"] == "number"
    assert instance["properties"]["city"] == {"type": ["string", "null"], "enum": ["Rio", None]}
    assert instance["properties"]["vip"] == {"type": "boolean"}
    objects, arrays = flowers["properties"]["instances"]["anyOf"]
    assert len(objects["items"]["required"]) == arrays["items"]["maxItems"] == 4


def _shown_of_predict(client: Client) -> dict[str, Any]:
    """Return the documented schema of the body, after checking that its example is accepted."""
    document = client.get("/openapi.json").json()
    found: dict[str, Any] = document["components"]["schemas"]["PredictRequest"]
    if client.get("/readyz").status_code == 200:
        shown = document["paths"]["/predict"]["post"]["requestBody"]["content"]
        assert client.predict(shown["application/json"]["example"]).status_code == 200
        csv = {"content-type": "text/csv"}
        example = shown["text/csv"]["example"]
        assert client.post("/predict", content=example, headers=csv).status_code == 200
    return found


def test_a_schema_too_wide_to_be_shown_is_described_in_general() -> None:
    wide = Schema(tuple(Feature(f"f{at}", "number") for at in range(MOST + 1)), ("a", "b"))
    words = tuple(f"w{at}" for at in range(MOST))

    assert request_schema(wide, 10) is None
    assert request_schema(Schema((Feature("t", "text", categories=words),), ("a", "b")), 9) is None
    assert request_schema(Schema(wide.features[:MOST], ("a", "b")), 10) is not None


def test_a_page_token_is_refused_as_documented(client: Client, document: dict[str, Any]) -> None:
    for path in ("/models", "/trainings"):
        parameters = document["paths"][path]["get"]["parameters"]
        (token,) = [item for item in parameters if item["name"] == "page_token"]
        for sent, status in (("1", 200), ("999999999", 200), ("", 400), ("0", 400), ("x", 400)):
            assert (re.search(token["schema"]["pattern"], sent) is None) == (status == 400)
            assert client.get(path, params={"page_token": sent}).status_code == status


def test_an_idempotency_key_is_refused_as_documented(
    client: Client, document: dict[str, Any]
) -> None:
    (key,) = document["paths"]["/train"]["post"]["parameters"]
    body = {"dataset": "iris", "model_type": "GaussianNB", "name": "keyed"}

    for sent, status in (("", 400), ("k", 201), ("k" * 255, 201), ("k" * 256, 400)):
        fits = key["schema"]["minLength"] <= len(sent) <= key["schema"]["maxLength"]
        assert fits == (status == 201)
        response = client.post("/train", json=body, headers={"idempotency-key": sent})
        assert response.status_code == status, response.text


def test_the_name_of_a_data_set_is_refused_as_documented(
    client: Client, document: dict[str, Any]
) -> None:
    name = document["paths"]["/datasets"]["post"]["parameters"][0]
    file = {"file": ("rows.csv", b"a,y\n1,u\n2,v\n")}

    for sent, status in (("", 400), ("a b", 400), ("a", 201), ("x" * 129, 400)):
        assert (re.search(name["schema"]["pattern"], sent) is None) == (status == 400)
        response = client.post("/datasets", params={"name": sent}, files=file)
        assert response.status_code == status, response.text


def test_a_version_and_an_alias_are_refused_together_as_documented(
    client: Client, document: dict[str, Any]
) -> None:
    shown = document["components"]["schemas"]["UseModelRequest"]
    assert [list(one["properties"]) for one in shown["anyOf"]] == [["version"], ["alias"]]

    for body, status in (
        ({"version": 1, "alias": None}, 200),
        ({"version": None, "alias": None}, 200),
        ({"version": 1, "alias": "a"}, 400),
    ):
        assert client.post("/use-model", json={"name": "iris", **body}).status_code == status


def test_a_follow_without_an_alias_is_refused_as_documented(
    client: Client, document: dict[str, Any], registry: FakeRegistry
) -> None:
    shown = document["components"]["schemas"]["UseModelRequest"]
    ((without, named),) = [one["anyOf"] for one in shown["allOf"]]
    assert without == {"properties": {"follow": {"enum": [False, None]}}}
    assert named == {"required": ["alias"], "properties": {"alias": {"type": "string"}}}
    registry.aliases["iris", "documented"] = 1

    for body, status in (
        ({"follow": None}, 200),
        ({"follow": False, "version": 1}, 200),
        ({"follow": True, "alias": "documented"}, 200),
        ({"follow": True}, 400),
        ({"follow": True, "alias": None}, 400),
        ({"follow": False, "alias": "documented"}, 200),
    ):
        assert client.post("/use-model", json={"name": "iris", **body}).status_code == status


@pytest.mark.parametrize("key", ["version", "expected_epoch"])
def test_an_integer_is_documented_to_be_sent_in_digits_alone(
    client: Client, document: dict[str, Any], key: str
) -> None:
    shown = document["components"]["schemas"]["UseModelRequest"]["properties"][key]

    assert "1.0" in shown["description"]
    assert client.post("/use-model", json={"name": "iris", key: 1.0}).status_code == 400


PROBABILITIES = [
    ("", False, False),
    ("?probabilities=true", False, True),
    ("?probabilities=false", False, False),
    ("?probabilities=false", True, True),
    ("?probabilities=true", True, True),
]


@pytest.mark.parametrize(("query", "asked", "given"), PROBABILITIES)
def test_a_json_body_gets_probabilities_if_it_or_the_query_asks(
    client: Client, query: str, asked: bool, given: bool
) -> None:
    example = client.get("/schema").json()["example"]

    for rows in (1, 3):
        body = {"instances": example["instances"] * rows, "probabilities": asked}
        reply = client.post(f"/predict{query}", json=body)
        assert reply.status_code == 200
        assert ("probabilities" in reply.json()) == given


@pytest.mark.parametrize("query", ["?x=1", "?probabilities=", "?probabilities=1", "?probabilities"])
@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_a_query_that_is_not_documented_is_refused_whatever_the_body(
    client: Client, kind: str, query: str
) -> None:
    response = client.post(f"/predict{query}", content=b"", headers={"content-type": kind})

    assert response.status_code == 400
    assert response.json()["type"] == "/problems/invalid-request"
    twice = client.post("/predict?probabilities=true&probabilities=true", headers=JSON)
    assert "twice" in twice.json()["detail"]
