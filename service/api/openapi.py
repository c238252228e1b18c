"""OpenAPI as it is served, and the page that shows it, from files that a package carries."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from service.api.schema import BODIES
from service.api.schemas import HealthReply, PredictRequest, ReadyReply, UseModelRequest
from service.schema.json_schema import request_schema
from service.serving.current_model import CurrentModel

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>mlops-desafio API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});
</script>
</body>
</html>
"""

_PROBLEM = "#/components/schemas/ProblemReply"
_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": _PROBLEM}}}

_REPLIES: dict[str, type[BaseModel]] = {"/healthz": HealthReply, "/readyz": ReadyReply}
"""Small replies, shown here so that `health` need not."""

_TAKES_NO_QUERY = ("/model-types", "/datasets")
"""Lists whose only bad request is a query parameter."""

_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The request's own id where it sent a sane one, else a new one; on every "
        "error, and on every reply to a request that sent one.",
        "schema": {"type": "string", "maxLength": 128},
    },
    "X-Model-Name": {
        "description": "The model that answered.",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {
        "description": "Its version.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-Model-Epoch": {
        "description": "Grows by one with each change of the model in use.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next try.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "Location": {
        "description": "The training's own address.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "With 401: how a key is sent.",
        "schema": {"type": "string"},
    },
    "Allow": {
        "description": "With 405: the methods that the path has.",
        "schema": {"type": "string"},
    },
}
_VERSION = {"name": "$response.body#/name", "version": "$response.body#/version"}
_NEWEST = {
    "name": "$response.body#/models/0/name",
    "version": "$response.body#/models/0/version",
}
_LINKS: dict[tuple[str, str, str], dict[str, tuple[str, str, dict[str, Any]]]] = {
    ("/train", "post", "201"): {
        "training": ("/trainings/{training}", "get", {"training": "$response.body#/id"}),
        "version": ("/models/{name}/versions/{version}", "get", _VERSION),
        "use": ("/use-model", "post", _VERSION),
    },
    ("/train", "post", "202"): {
        "training": ("/trainings/{training}", "get", {"training": "$response.body#/id"}),
        "cancel": ("/trainings/{training}", "delete", {"training": "$response.body#/id"}),
    },
    ("/trainings/{training}", "get", "200"): {
        "version": ("/models/{name}/versions/{version}", "get", _VERSION),
        "use": ("/use-model", "post", _VERSION),
    },
    ("/models", "get", "200"): {
        "newest": ("/models/{name}/versions/{version}", "get", _NEWEST),
        "delete": ("/models/{name}/versions/{version}", "delete", _NEWEST),
    },
    ("/trainings", "get", "200"): {
        "cancel": (
            "/trainings/{training}",
            "delete",
            {"training": "$response.body#/trainings/0/id"},
        )
    },
    ("/models/{name}/versions/{version}", "get", "200"): {
        "use": ("/use-model", "post", _VERSION),
        "delete": ("/models/{name}/versions/{version}", "delete", _VERSION),
    },
    ("/use-model", "post", "200"): {"predict": ("/predict", "post", {})},
    ("/datasets", "post", "201"): {
        "show": ("/datasets/{name}", "get", {"name": "$response.body#/name"}),
        "delete": ("/datasets/{name}", "delete", {"name": "$response.body#/name"}),
    },
}
"""Where a reply leads: the operation, and what it takes from the reply's body."""

_MODEL = ("X-Model-Name", "X-Model-Version", "X-Model-Epoch")


@router.get("/docs")
async def docs() -> Response:
    """Give the page."""
    return HTMLResponse(_PAGE)


@router.get("/")
async def root() -> Response:
    """Lead a person to the page."""
    return RedirectResponse("/docs")


def assets() -> StaticFiles:
    """Give Swagger UI's files; the package that carries them is not imported (it needs Flask)."""
    spec = find_spec("flask_swagger_ui")
    assert spec is not None
    assert spec.submodule_search_locations
    return StaticFiles(directory=Path(next(iter(spec.submodule_search_locations))) / "dist")


def openapi(app: FastAPI, current_model: CurrentModel, max_rows: int) -> dict[str, Any]:
    """Give the document, which shows of `/predict` what the model in use takes."""
    document = _document(app)
    in_use = current_model.in_use
    found = None if in_use is None else request_schema(in_use.predictor.schema, max_rows)
    if in_use is None or found is None:
        return document
    predictor = in_use.predictor
    item = document["paths"]["/predict"]
    body = item["post"]["requestBody"]
    examples = {"application/json": predictor.example, "text/csv": predictor.guide.csv}
    content = {
        kind: {**shown, "example": examples[kind]} if kind in examples else shown
        for kind, shown in body["content"].items()
    }
    post = {**item["post"], "requestBody": {**body, "content": content}}
    components = document["components"]
    schemas = {**components["schemas"], PredictRequest.__name__: found}
    return {
        **document,
        "paths": {**document["paths"], "/predict": {**item, "post": post}},
        "components": {**components, "schemas": schemas},
    }


def _document(app: FastAPI) -> dict[str, Any]:
    """Give FastAPI's document, without the 422 that is never answered, problems as such."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    models: list[type[BaseModel]] = [*BODIES, UseModelRequest, *_REPLIES.values()]
    for model in models:
        schemas[model.__name__] = model.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["headers"] = _HEADERS
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "Where the service has keys."}
    }
    document["security"] = [{}, {"key": []}]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete(path, method, operation["responses"])
    for (path, method, status), links in _LINKS.items():
        response = document["paths"][path][method]["responses"][status]
        response["links"] = {
            name: _link(document["paths"][target][verb], taken)
            for name, (target, verb, taken) in links.items()
        }
    app.openapi_schema = document
    return document


def _complete(path: str, method: str, responses: dict[str, Any]) -> None:
    """Make the responses of an operation what is answered."""
    responses.pop("422", None)
    if path in _REPLIES:
        schema = {"$ref": f"#/components/schemas/{_REPLIES[path].__name__}"}
        responses["200"]["content"]["application/json"]["schema"] = schema
    if path == "/metrics":
        del responses["200"]["content"]["application/json"]
    if path in _TAKES_NO_QUERY:
        responses.setdefault("400", {"description": "Bad Request", "content": _PROBLEM_CONTENT})
    responses["default"] = {
        "description": "Any other error: 400 for what is no HTTP, 401 and 403 where there are "
        "keys, 405, 408, 431, and 500 for a defect of the service",
        "content": _PROBLEM_CONTENT,
    }
    for status, response in responses.items():
        shown = response.get("content", {}).get("application/json", {}).get("schema", {})
        if shown.get("$ref") == _PROBLEM:
            response["content"] = _PROBLEM_CONTENT
        response["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"}
            for name in _headers(path, method, status)
        }


def _link(operation: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    """Give a link to an operation: what is taken goes to its parameters, or to its body."""
    link: dict[str, Any] = {"operationId": operation["operationId"]}
    if taken:
        in_path = any(item["in"] == "path" for item in operation.get("parameters", ()))
        link["parameters" if in_path else "requestBody"] = taken
    return link


def _headers(path: str, method: str, status: str) -> Iterator[str]:
    yield "X-Request-ID"
    if path == "/predict" or (path == "/schema" and status == "200"):
        yield from _MODEL
    if status in ("429", "503"):
        yield "Retry-After"
    if (path, method) == ("/train", "post") and status in ("201", "202"):
        yield "Location"
    if status == "default":
        yield "Allow"
        yield "WWW-Authenticate"
