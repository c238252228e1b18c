"""`GET /schema`, and `POST /predict` as OpenAPI shows it (`predict` answers it)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.answering import only_described
from service.api.schemas import (
    FeatureReply,
    PredictReply,
    ProblemReply,
    SchemaReply,
)
from service.api.services import services_of
from service.schema.example import describe_in_full
from service.serving.served_model import model_headers

router = APIRouter(tags=["prediction"])

_PROBLEM = {"model": ProblemReply}
_IRIS = {
    "sepal length (cm)": 5.8,
    "sepal width (cm)": 3,
    "petal length (cm)": 4.3,
    "petal width (cm)": 1.3,
}
_FILE = {"type": "string", "format": "binary"}


@router.get(
    "/schema",
    summary="Show what the model in use expects, with an example",
    response_model_exclude_unset=True,
    responses={503: _PROBLEM},
)
async def get_schema(request: Request, response: Response) -> SchemaReply:
    """Return features, classes and a request that works."""
    in_use = services_of(request).current_model.get()
    predictor = in_use.predictor
    for name, value in model_headers(in_use):
        response.headers[name.decode()] = value.decode()
    return SchemaReply(
        model=in_use.name,
        version=in_use.version,
        epoch=in_use.epoch,
        features=[
            FeatureReply(**describe_in_full(feature)) for feature in predictor.schema.features
        ],
        classes=list(predictor.schema.classes),
        example=predictor.example,
    )


_DOCUMENTED: dict[str, Any] = {
    "responses": {
        200: {
            "model": PredictReply,
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.arrow.stream": {"schema": _FILE},
            },
        },
        **dict.fromkeys((400, 413, 415, 503), _PROBLEM),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/PredictRequest"},
                    "example": {"instances": [_IRIS], "probabilities": True},
                },
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": ",".join(_IRIS) + "\n" + ",".join(map(str, _IRIS.values())) + "\n",
                },
                "application/vnd.apache.parquet": {"schema": _FILE},
                "application/vnd.apache.arrow.stream": {"schema": _FILE},
            },
        },
        "parameters": [
            {
                "name": "probabilities",
                "in": "query",
                "description": "The probability of each class; a JSON body may ask, too.",
                "schema": {"type": "boolean"},
            }
        ],
    },
}


@router.post("/predict", summary="Classify instances with the model in use", **_DOCUMENTED)
async def predict() -> Response:
    """Classify instances, or a file of rows; say what is wrong with either, by an example."""
    only_described()


_OF_VERSION = {
    **_DOCUMENTED,
    "responses": {**_DOCUMENTED["responses"], 404: _PROBLEM, 409: _PROBLEM},
}


@router.post(
    "/models/{name}/versions/{version}/predict",
    summary="Classify instances with any version",
    **_OF_VERSION,
)
async def predict_with_version(name: str, version: int) -> Response:  # noqa: ARG001
    """Classify as `POST /predict` does, with this version, whatever is in use.

    It is loaded when it is first asked for, and kept while it is among those asked for last.
    """
    only_described()
