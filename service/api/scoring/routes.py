"""MLflow's scoring protocol about the server; and invocations as OpenAPI has them."""

from importlib.metadata import version as version_of
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from service.api.answering import only_described
from service.api.health import readyz
from service.api.schemas import Reply
from service.api.scoring.invocations import INVOCATIONS
from service.api.services import services_of


class ScoringErrorReply(Reply):
    """Whatever went wrong, as MLflow's server says it, with a request that works."""

    error_code: str
    message: str
    example: dict[str, object] | None = None


class InvocationsReply(Reply):
    """A label for each row, or with `predict_proba` the probability of each class."""

    predictions: list[str | int | bool] | list[list[float]]


router = APIRouter(tags=["scoring"], responses={"default": {"model": ScoringErrorReply}})

_ERROR = {"model": ScoringErrorReply}
_REFERENCE = {"schema": {"$ref": f"#/components/schemas/{ScoringErrorReply.__name__}"}}
_JSON_ERROR: dict[str, Any] = {
    "description": "An error, in JSON although the reply is text",
    "content": {"application/json": _REFERENCE},
}
_MLFLOW = version_of("mlflow")
_EXAMPLE = {
    "dataframe_split": {
        "columns": [
            *("sepal length (cm)", "sepal width (cm)"),
            *("petal length (cm)", "petal width (cm)"),
        ],
        "data": [[5.8, 3.0, 4.3, 1.3]],
    }
}
_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get(
    "/ping",
    summary="Readiness, as MLflow's server says it",
    response_class=PlainTextResponse,
    responses={200: _TEXT, **dict.fromkeys((404, 503, "default"), _JSON_ERROR)},
)
@router.get(
    "/health",
    name="health",
    summary="Readiness, as MLflow's server says it",
    response_class=PlainTextResponse,
    responses={200: _TEXT, **dict.fromkeys((404, 503, "default"), _JSON_ERROR)},
)
async def ping(request: Request) -> Response:
    """Return 200 where the model in use can answer, and 404 where there is none."""
    services = services_of(request)
    if services.answering.in_use() is None:
        raise HTTPException(404, "No model is in use yet.")
    await readyz(request)
    return PlainTextResponse("\n")


@router.get(
    "/version",
    summary="The version of MLflow whose protocol is spoken",
    response_class=PlainTextResponse,
    responses={200: _TEXT, "default": _JSON_ERROR},
)
async def version() -> Response:
    """Return it as text."""
    return PlainTextResponse(_MLFLOW)


@router.post(
    INVOCATIONS,
    summary="Classify rows in MLflow's forms with the model in use",
    response_model=InvocationsReply,
    responses=dict.fromkeys((400, 413, 415, 503), _ERROR),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": _EXAMPLE},
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {
                    "schema": {"type": "string", "format": "binary"}
                },
            },
        }
    },
)
async def invocations() -> Response:
    """Classify rows as `mlflow models serve` does; nothing is cast that loses something.

    `{"params": {"predict_fn": "predict_proba"}}` beside JSON rows asks for probabilities.
    """
    only_described()
