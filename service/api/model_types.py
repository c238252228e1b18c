"""`/model-types`: what can be trained."""

from fastapi import APIRouter, Request, Response

from service.api.request_body import only_query, reply
from service.api.schemas import ModelTypeList, ModelTypeReply, ProblemReply
from service.api.services import services_of

router = APIRouter(tags=["training"])


@router.get(
    "/model-types",
    summary="List the classifiers that can be trained",
    responses={200: {"model": ModelTypeList}},
)
async def list_model_types(request: Request) -> Response:
    """Give every classifier with its parameters, their bounds and defaults."""
    services = services_of(request)
    only_query(request)
    return reply({"model_types": await services.run(services.model_types.all)})


@router.get(
    "/model-types/{name}",
    summary="Show one classifier's parameters",
    responses={200: {"model": ModelTypeReply}, 404: {"model": ProblemReply}},
)
async def get_model_type(request: Request, name: str) -> Response:
    """Give one classifier."""
    services = services_of(request)
    return reply(await services.run(services.model_types.get, name))
