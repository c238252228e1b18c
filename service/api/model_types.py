"""`/model-types`: what can be trained."""

from fastapi import APIRouter, Request

from service.api.parameters import STRICT_QUERY
from service.api.schemas import ModelTypeList, ModelTypeReply, ProblemReply
from service.api.services import services_of

router = APIRouter(tags=["training"])

_PROBLEM = {"model": ProblemReply}


@router.get(
    "/model-types",
    summary="List the classifiers that can be trained",
    dependencies=STRICT_QUERY,
    responses={400: _PROBLEM},
)
async def list_model_types(request: Request) -> ModelTypeList:
    """Return every classifier with its parameters, their bounds and defaults."""
    services = services_of(request)
    return ModelTypeList(model_types=await services.run(services.model_types.all))


@router.get(
    "/model-types/{name}",
    summary="Show one classifier's parameters",
    responses={404: _PROBLEM},
)
async def get_model_type(request: Request, name: str) -> ModelTypeReply:
    """Return one classifier."""
    services = services_of(request)
    return ModelTypeReply(**await services.run(services.model_types.get, name))
