"""OpenAPI as it is served, and the page that shows it, from files that a package carries."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.staticfiles import StaticFiles

from service.api import console
from service.api.schemas import PredictRequest, ProblemReply
from service.api.services import services_of
from service.schema.json_schema import request_schema
from service.schema.search import Search
from service.serving.current_model import LoadedVersion

router = APIRouter(include_in_schema=False)

_PROBLEM = "#/components/schemas/ProblemReply"
_PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": _PROBLEM}}}

DEFAULT_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "model": ProblemReply,
        "description": "Any other error: 400 for malformed HTTP, 401 and 403 if the service "
        "has keys, 405, 408, 431, and 500 for a defect of the service",
    }
}


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": schema}


_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": _header(
        "The request's id if it sent a valid one, else a new one. Present on every error, and on "
        "every reply to a request that sent one.",
        type="string",
        maxLength=128,
    ),
    "X-Model-Name": _header("The model that answered, percent-encoded.", type="string"),
    "X-Model-Version": _header("Its version.", type="integer", minimum=1),
    "X-Model-Epoch": _header(
        "Grows by one with each change of the model in use.", type="integer", minimum=1
    ),
    "Retry-After": _header(
        "Seconds to wait before the next attempt.", type="integer", minimum=1, maximum=5
    ),
    "Location": _header("The URL of the training.", type="string"),
    "WWW-Authenticate": _header("With 401: how a key is sent.", type="string"),
    "Allow": _header("With 405: the methods that the path has.", type="string"),
}
_PREDICTING = ("/predict", "/infer", ":predict", "/invocations")
_MODEL = ("X-Model-Name", "X-Model-Version", "X-Model-Epoch")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the page that shows the API, under the console's policy."""
    return console.page(request, "docs.html")


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """Return the document; it shows the model in use only to clients that may read it."""
    services = services_of(request)
    document: dict[str, Any] = request.app.openapi()
    in_use = services.current_model.in_use
    needs_key = services.settings.api_keys_file is not None
    if in_use is None or (needs_key and "role" not in request.scope):
        return document
    return _of_model(document, in_use, services.settings.max_rows)


def assets() -> StaticFiles:
    """Return Swagger UI's files; the package that carries them is not imported: it needs Flask."""
    spec = find_spec("flask_swagger_ui")
    assert spec is not None
    assert spec.submodule_search_locations
    return StaticFiles(directory=Path(next(iter(spec.submodule_search_locations))) / "dist")


def _of_model(document: dict[str, Any], in_use: LoadedVersion, max_rows: int) -> dict[str, Any]:
    """Return the document with what `/predict` takes for the model in use."""
    predictor = in_use.predictor
    schema = request_schema(predictor.schema, max_rows)
    if schema is None:
        return document
    item = document["paths"]["/predict"]
    body = item["post"]["requestBody"]
    examples = {"application/json": predictor.example, "text/csv": predictor.guide.csv}
    content = {
        kind: {**described, "example": examples[kind]} if kind in examples else described
        for kind, described in body["content"].items()
    }
    post = {**item["post"], "requestBody": {**body, "content": content}}
    components = document["components"]
    schemas = {**components["schemas"], PredictRequest.__name__: schema}
    return {
        **document,
        "paths": {**document["paths"], "/predict": {**item, "post": post}},
        "components": {**components, "schemas": schemas},
    }


def document(app: FastAPI) -> dict[str, Any]:
    """Return FastAPI's document, with problems and headers as they are sent; made once."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    made = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = made["components"]
    # `/predict` and `/train` have readers of their own, so that FastAPI does not meet these.
    for model in (PredictRequest, Search):
        components["schemas"][model.__name__] = model.model_json_schema()
    components["headers"] = _HEADERS
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "Where the service has keys."}
    }
    made["security"] = [{}, {"key": []}]
    for path, item in made["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                kinds = response.get("content", {}).values()
                if any(kind.get("schema", {}).get("$ref") == _PROBLEM for kind in kinds):
                    response["content"] = _PROBLEM_CONTENT
                response["headers"] = {
                    name: {"$ref": f"#/components/headers/{name}"}
                    for name in _headers(path, method, status)
                }
    app.openapi_schema = made
    return made


def _headers(path: str, method: str, status: str) -> Iterator[str]:
    yield "X-Request-ID"
    if path.endswith(_PREDICTING) or (path == "/schema" and status == "200"):
        yield from _MODEL
    if status in ("429", "503"):
        yield "Retry-After"
    if (path, method) == ("/train", "post") and status in ("201", "202"):
        yield "Location"
    if status == "default":
        yield "Allow"
        yield "WWW-Authenticate"
