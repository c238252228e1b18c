"""`/datasets`: rows kept by name."""

from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from service.api.models import timestamp
from service.api.parameters import STRICT_QUERY, Name
from service.api.request_body import csv_encoding
from service.api.schemas import DataSetList, DataSetReply, NoteReply, ProblemReply
from service.api.services import Services, services_of
from service.api.upload_body import FORM, receive_data_set
from service.common import domain
from service.common.domain import BUILT_IN_DATA_SETS, DataSet, is_name
from service.common.errors import DataSetConflict, DataSetNotFound, InvalidRequest
from service.schema.file_options import FileOptions

router = APIRouter(tags=["data sets"])

_Option = str | SkipJsonSchema[None]
_LISTS = "JSON, or with commas between"
_PROBLEM = {"model": ProblemReply}
_BINARY = {"type": "string", "format": "binary"}
_NAME = {"name": "$response.body#/name"}


def _reply(data_set: DataSet) -> DataSetReply:
    return DataSetReply(
        name=data_set.name,
        sha256=data_set.sha256,
        rows=data_set.rows,
        columns=[dict(column) for column in data_set.columns],
        target=data_set.target,
        created_at=timestamp(data_set.created_at),
        built_in=False,
        notes=[NoteReply(**asdict(note)) for note in data_set.notes],
    )


async def _built_ins(services: Services) -> list[DataSetReply]:
    data_sets = await services.run(services.model_types.built_in_data_sets)
    return [DataSetReply(**item, created_at=None, built_in=True) for item in data_sets]


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
    summary="Store a data set",
    status_code=201,
    dependencies=STRICT_QUERY,
    responses={
        201: {
            "links": {
                "show": {"operationId": "get_data_set", "parameters": _NAME},
                "delete": {"operationId": "delete_data_set", "parameters": _NAME},
            }
        },
        **dict.fromkeys((400, 409, 413, 415, 503), _PROBLEM),
    },
    openapi_extra={
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
                            **{key: {"type": "string"} for key in FileOptions.model_fields},
                        },
                    }
                },
            },
        },
    },
)
async def add_data_set(
    request: Request,
    response: Response,
    name: Annotated[
        Name | SkipJsonSchema[None],
        Query(description="Required, unless a form has a `name` or a file with a name."),
    ] = None,
    target: Annotated[
        str | SkipJsonSchema[None],
        Query(description="The column to predict, for trainings that name none."),
    ] = None,
    exclude: Annotated[_Option, Query(description=f"Columns to leave out; {_LISTS}.")] = None,
    types: Annotated[
        _Option, Query(description='Types that are not to be guessed, as in {"zip": "text"}.')
    ] = None,
    missing: Annotated[
        _Option, Query(description=f"Texts that mean a missing value; {_LISTS}.")
    ] = None,
    encoding: Annotated[
        _Option, Query(description="That of a CSV file, such as windows-1252; else UTF-8.")
    ] = None,
) -> DataSetReply:
    """Read the rows and keep them; the same rows under the same name again change nothing.

    A CSV or Parquet file as the body may be larger than JSON or a form. A form may have the
    parameters as its fields.
    """
    services = services_of(request)
    await services.ask(services.registry.newest_use)
    upload = await services.run(services.uploads.open)
    try:
        await receive_data_set(request, services, upload)
        for key in upload.fields:
            if key not in ("name", "target", *FileOptions.model_fields):
                raise InvalidRequest(f"{key[:64]!r} is not a field of this form.")
        if upload.form and not upload.has_file:
            raise InvalidRequest("The form has no file.")
        name = name or upload.fields.get("name") or upload.file_name
        if name in BUILT_IN_DATA_SETS:
            raise DataSetConflict(name)
        target = target or upload.fields.get("target") or None
        sent = {"exclude": exclude, "types": types, "missing": missing, "encoding": encoding}
        options = {key: text for key, text in sent.items() if text is not None}
        if upload.media == "csv" and not upload.form and encoding is None:
            options["encoding"] = csv_encoding(request)
        options |= {k: v for k, v in upload.fields.items() if k in FileOptions.model_fields}
        # A large one takes minutes, and has a turn of its own.
        is_large = services.large_upload.is_of(upload)
        async with nullcontext() if is_large else services.reading:
            data_set = await services.run(services.uploads.data_set, upload, name, target, options)
        added = await services.run(services.registry.add_data_set, data_set, upload.table)
    finally:
        try:
            await services.run(services.uploads.close, upload)
        finally:
            services.large_upload.leave(upload)
    response.headers["location"] = f"/datasets/{added.name}"
    return _reply(added)


@router.get(
    "/datasets",
    summary="List the data sets",
    dependencies=STRICT_QUERY,
    responses={400: _PROBLEM, 503: _PROBLEM},
)
async def list_data_sets(request: Request) -> DataSetList:
    """Return the data sets that scikit-learn ships, and those that were uploaded."""
    services = services_of(request)
    uploaded = await services.ask(services.registry.list_data_sets)
    return DataSetList(datasets=[*map(_reply, uploaded), *await _built_ins(services)])


@router.get(
    "/datasets/{name}",
    summary="Show a data set",
    responses={404: _PROBLEM, 503: _PROBLEM},
)
async def get_data_set(request: Request, name: str) -> DataSetReply:
    """Return one data set."""
    services = services_of(request)
    if name in BUILT_IN_DATA_SETS:
        return next(item for item in await _built_ins(services) if item.name == name)
    if not is_name(name):
        raise DataSetNotFound(name)
    return _reply(await services.ask(services.registry.get_data_set, name))


@router.delete(
    "/datasets/{name}",
    summary="Delete a data set",
    status_code=204,
    responses={404: _PROBLEM, 409: _PROBLEM, 503: _PROBLEM},
)
async def delete_data_set(request: Request, name: str) -> None:
    """Delete all versions of a data set."""
    services = services_of(request)
    if name in BUILT_IN_DATA_SETS:
        raise DataSetConflict(name)
    if not is_name(name):
        raise DataSetNotFound(name)
    await services.ask(services.registry.get_data_set, name)
    await services.run(services.registry.delete_data_set, name)
