"""`/datasets`: rows kept by name."""

from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.models import timestamp
from service.api.request_body import NAME, name_in_query, only_query, reply
from service.api.schemas import DataSetList, DataSetReply, ProblemReply
from service.api.services import Services, services_of
from service.api.upload_body import FORM, MEDIA, receive_upload
from service.common import domain
from service.common.domain import BUILT_IN_DATA_SETS, DataSet, is_name
from service.common.errors import DataSetConflict, DataSetNotFound, InvalidRequest

router = APIRouter(tags=["data sets"])

_PROBLEM = {"model": ProblemReply}
_BINARY = {"type": "string", "format": "binary"}


def _shown(data_set: DataSet, built_in: bool = False) -> dict[str, Any]:
    return {
        "name": data_set.name,
        "sha256": data_set.sha256,
        "rows": data_set.rows,
        "columns": [dict(column) for column in data_set.columns],
        "target": data_set.target,
        "created_at": None if built_in else timestamp(data_set.created_at),
        "built_in": built_in,
    }


async def _built_ins(services: Services) -> list[dict[str, Any]]:
    found = await services.run(services.model_types.built_in_data_sets)
    return [{**item, "created_at": None, "built_in": True} for item in found]


_CELL = {"type": ["number", "string", "boolean", "null"]}
_INLINE = {
    "oneOf": [
        {
            "type": "object",
            "required": ["columns", "rows"],
            "properties": {
                "columns": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "uniqueItems": True,
                },
                "rows": {
                    "type": "array",
                    "items": {"type": "array", "items": _CELL},
                    "minItems": 1,
                },
            },
        },
        {
            "type": "object",
            "required": ["records"],
            "properties": {
                "records": {
                    "type": "array",
                    "items": {"type": "object", "minProperties": 1, "additionalProperties": _CELL},
                    "minItems": 1,
                }
            },
        },
    ]
}
"""Rows within JSON: a row an array, or an object a row. A column's cells are of one kind."""


@router.post(
    "/datasets",
    summary="Keep rows under a name",
    status_code=201,
    responses={
        201: {"model": DataSetReply},
        **dict.fromkeys((400, 409, 413, 415, 503), _PROBLEM),
    },
    openapi_extra={
        "parameters": [
            {
                "name": "name",
                "in": "query",
                "description": "Needed, unless a form has a `name` or a file with a name.",
                "schema": NAME,
            },
            {
                "name": "target",
                "in": "query",
                "description": "The column that trainings predict, where they name no other.",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "a,b,label\n1,2,yes\n3,4,no\n",
                },
                "application/json": {
                    "schema": _INLINE,
                    "example": {"columns": ["a", "label"], "rows": [[1, "yes"], [2, "no"]]},
                },
                "application/vnd.apache.parquet": {
                    "schema": {"type": "string", "format": "binary"}
                },
                FORM: {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": _BINARY,
                            "name": {"type": "string", "pattern": f"^({domain.NAME})?$"},
                            "target": {"type": "string"},
                        },
                    }
                },
            },
        },
    },
)
async def add_data_set(request: Request) -> Response:
    """Read the rows and keep them; the same rows under the same name again change nothing."""
    services = services_of(request)
    only_query(request, "name", "target")
    await services.ask(services.registry.newest_use)
    upload = await services.run(services.uploads.open)
    try:
        await receive_upload(request, services, upload, (*MEDIA, FORM))
        for key in upload.fields:
            if key not in ("name", "target"):
                raise InvalidRequest(f"{key[:64]!r} is not a field of this form.")
        if upload.form and not upload.has_file:
            raise InvalidRequest("The form has no file.")
        name = upload.fields.get("name") or upload.file_name
        if "name" in request.query_params:
            name = name_in_query(request.query_params["name"])
        if name in BUILT_IN_DATA_SETS:
            raise DataSetConflict(name)
        target = request.query_params.get("target") or upload.fields.get("target") or None
        async with services.reading:
            found = await services.run(services.uploads.data_set, upload, name, target)
        kept = await services.run(services.registry.add_data_set, found, upload.table)
    finally:
        await services.run(services.uploads.close, upload)
    return reply(_shown(kept), 201, {"location": f"/datasets/{kept.name}"})


@router.get(
    "/datasets",
    summary="List the data sets",
    responses={200: {"model": DataSetList}, 503: _PROBLEM},
)
async def list_data_sets(request: Request) -> Response:
    """Give those that scikit-learn ships, and those that were uploaded."""
    services = services_of(request)
    only_query(request)
    kept = await services.ask(services.registry.list_data_sets)
    return reply({"datasets": [*map(_shown, kept), *await _built_ins(services)]})


@router.get(
    "/datasets/{name}",
    summary="Show a data set",
    responses={200: {"model": DataSetReply}, 404: _PROBLEM, 503: _PROBLEM},
)
async def get_data_set(request: Request, name: str) -> Response:
    """Give one data set."""
    services = services_of(request)
    if name in BUILT_IN_DATA_SETS:
        return reply(next(item for item in await _built_ins(services) if item["name"] == name))
    if not is_name(name):
        raise DataSetNotFound(name)
    return reply(_shown(await services.ask(services.registry.get_data_set, name)))


@router.delete(
    "/datasets/{name}",
    summary="Delete a data set",
    status_code=204,
    responses={404: _PROBLEM, 409: _PROBLEM, 503: _PROBLEM},
)
async def delete_data_set(request: Request, name: str) -> Response:
    """Delete all versions of a data set."""
    services = services_of(request)
    if name in BUILT_IN_DATA_SETS:
        raise DataSetConflict(name)
    if not is_name(name):
        raise DataSetNotFound(name)
    await services.ask(services.registry.get_data_set, name)
    await services.run(services.registry.delete_data_set, name)
    return Response(status_code=204)
