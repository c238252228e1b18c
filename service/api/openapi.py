"""OpenAPI as it is served, and the page that shows it, from files that a package carries."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from service.api.bodies import UseModelRequest
from service.api.schema import BODIES

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


def openapi(app: FastAPI) -> dict[str, Any]:
    """Give the document: FastAPI's, without the 422 that is never answered, problems as such."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for model in (*BODIES, UseModelRequest):
        schemas[model.__name__] = model.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for response in operation["responses"].values():
                content = response.get("content", {})
                shown = content.get("application/json", {}).get("schema", {})
                if shown.get("$ref") == _PROBLEM:
                    content["application/problem+json"] = content.pop("application/json")
    app.openapi_schema = document
    return document
