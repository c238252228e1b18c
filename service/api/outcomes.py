"""`/outcomes`: takes true labels, and shows how often each version was right.

Rows are not kept, unless the request asks to add them to a data set.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from pydantic.json_schema import SkipJsonSchema

from service.api.outcome_body import read_body
from service.api.outcome_counting import SentOutcomes, count_outcomes, find_version, utc_day
from service.api.outcome_replies import outcomes_reply
from service.api.outcome_schemas import (
    MOST_VERSION,
    CountedReply,
    OutcomesList,
    OutcomesReply,
    OutcomesRequest,
)
from service.api.parameters import STRICT_QUERY, IdempotencyKey, ModelName, Name
from service.api.predict_file import MEDIA
from service.api.request_body import csv_encoding, media_type
from service.api.schemas import ProblemReply
from service.api.services import Services, services_of
from service.api.upload_body import receive_rows
from service.common.domain import BUILT_IN_DATA_SETS, Version
from service.common.errors import (
    DataSetConflict,
    Forbidden,
    InvalidRequest,
    ModelNotFound,
    Problem,
    UnsupportedMediaType,
    clip,
)
from service.common.outcomes import OutcomeCounts, Receipt
from service.common.ports import Registry
from service.training.uploads import Upload, UploadMedia

router = APIRouter(tags=["outcomes"])

_PROBLEM = {"model": ProblemReply}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_JSON = "application/json"
_MEDIA: Mapping[str, UploadMedia] = {
    _JSON: "json",
    **{kind.decode(): media for kind, media in MEDIA.items()},
}
_MOST_VERSIONS = 1000
"""If no version is named, outcomes are searched of this many newest versions of the model."""

_Version = Annotated[int, Query(ge=1, le=MOST_VERSION)]


@router.post(
    "/outcomes",
    summary="Tell what was really so; the version answers again, and is counted",
    dependencies=STRICT_QUERY,
    response_model_exclude_unset=True,
    responses=dict.fromkeys((400, 404, 409, 413, 415, 503), _PROBLEM),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {
                    "schema": OutcomesRequest.model_json_schema(),
                    "example": {
                        "name": "iris",
                        "version": 1,
                        "instances": [[5.1, 3.5, 1.4, 0.2]],
                        "labels": ["setosa"],
                    },
                },
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": _BINARY,
                "application/vnd.apache.arrow.stream": _BINARY,
            },
        },
    },
)
async def add_outcomes(
    request: Request,
    name: Annotated[
        ModelName | SkipJsonSchema[None],
        Query(description="Of a file: the model's; else that of the one in use."),
    ] = None,
    version: Annotated[
        _Version | SkipJsonSchema[None],
        Query(description="Of a file: the version that answers again. Required."),
    ] = None,
    append_to: Annotated[
        Name | SkipJsonSchema[None],
        Query(description="Of a file: a data set to whose rows these are added."),
    ] = None,
    idempotency_key: Annotated[
        IdempotencyKey | SkipJsonSchema[None],
        Header(description="Sent again with the same body, the request is not counted again."),
    ] = None,
) -> CountedReply:
    """Count how right a version is on instances whose truth is known.

    A file has a column with the true labels, which is called as the target was in training.
    """
    services = services_of(request)
    query = SentOutcomes(_media(request), name, version or 0, append_to)
    await services.ask(services.registry.newest_use)  # to find out whether MLflow answers
    with services.file_predictions.admit():
        upload = await services.run(services.uploads.open)
        try:
            limits = services.settings
            is_json = query.media == "json"
            limit = limits.max_body_bytes if is_json else limits.max_upload_bytes
            await receive_rows(request, services, upload, limit)
            sent = await _of_json(services, upload, query) if is_json else _of_file(request, query)
            if sent.append_to is not None:
                await _check_data_set(request, services, sent.append_to)
            if idempotency_key is None:
                return await count_outcomes(services, upload, sent, None)
            named = (media_type(request), name, version, append_to)
            receipt = await services.run(_receipt, upload, named, idempotency_key)
            async with services.one_per_key(receipt.key):
                return await count_outcomes(services, upload, sent, receipt)
        finally:
            await services.run(services.uploads.close, upload)


def _media(request: Request) -> UploadMedia:
    kind = media_type(request)
    media = _MEDIA.get(kind)
    if media is None:
        raise UnsupportedMediaType(clip(kind), list(_MEDIA))
    return media


async def _of_json(services: Services, upload: Upload, query: SentOutcomes) -> SentOutcomes:
    """Return the request in a JSON body; its parameters must not be in the query."""
    if (query.name, query.version, query.append_to) != (None, 0, None):
        raise InvalidRequest("Send the parameters in the body, beside the instances.")
    settings = services.settings
    body = await services.run(
        lambda: read_body(upload.rows.read_bytes(), settings.max_json_depth, settings.max_rows)
    )
    return SentOutcomes("json", body.name, body.version, body.append_to, body=body)


def _of_file(request: Request, query: SentOutcomes) -> SentOutcomes:
    """Return the request of a file; its parameters are in the query."""
    if not query.version:
        message = "is missing: name the version that answered, as in ?version=7"
        raise InvalidRequest(f"The parameter version {message}.", [Problem("/version", message)])
    return replace(query, encoding=csv_encoding(request))


async def _check_data_set(request: Request, services: Services, name: str) -> None:
    """Raise Forbidden, DataSetConflict or DataSetNotFound if rows may not be added to it."""
    role = request.scope.get("role", "admin")
    if role == "predict":
        raise Forbidden("train", role, "Adding rows to a data set")
    if name in BUILT_IN_DATA_SETS:
        raise DataSetConflict(name)
    await services.ask(services.registry.get_data_set, name)


def _receipt(upload: Upload, named: object, key: str) -> Receipt:
    """Return a receipt, by which the same request is recognized when it comes again."""
    return Receipt(hashlib.sha256(f"outcomes {key}".encode()).hexdigest(), upload.digest(named))


@router.get(
    "/outcomes",
    summary="Show how right the versions of a model were, by day",
    dependencies=STRICT_QUERY,
    responses=dict.fromkeys((400, 404, 503), _PROBLEM),
)
async def get_outcomes(
    request: Request,
    name: Annotated[
        ModelName | SkipJsonSchema[None],
        Query(description="The model's; else that of the one in use."),
    ] = None,
    version: Annotated[
        _Version | SkipJsonSchema[None], Query(description="One version; else all of the model.")
    ] = None,
    days: Annotated[int, Query(ge=1, le=366, description="Today is one of them.")] = 30,
) -> OutcomesList:
    """Return the outcomes of all replicas, the newest day and version first."""
    services = services_of(request)
    name = name or services.current_model.get().name
    if version is not None:
        versions: Sequence[Version] = [await find_version(services, name, version)]
    else:
        registry = services.registry
        versions = (await services.ask(registry.list_versions, name, _MOST_VERSIONS, None)).items
        if not versions:
            raise ModelNotFound(name)
    # In a thread and without a time limit, since a year of many versions takes over a second.
    listed = await services.run(
        _listed, services.registry, versions, utc_day(days - 1), version is not None
    )
    shown = versions[0] if version is not None else None
    if shown is None and listed:
        shown = next(one for one in versions if one.version == listed[0].version)
    return OutcomesList(outcomes=listed, training=None if shown is None else dict(shown.metrics))


def _listed(
    registry: Registry, versions: Sequence[Version], since: str, only_one: bool
) -> list[OutcomesReply]:
    """Return the sums of all replicas' records by day and version, the newest first."""
    known = {one.identity: one for one in versions}
    by_day: dict[tuple[str, int, str], list[OutcomeCounts]] = {}
    for one in registry.list_outcomes(since, versions[0].identity if only_one else None):
        if one.of in known:
            key = one.day, known[one.of].version, one.of
            by_day.setdefault(key, []).append(one.counts)
    return [
        outcomes_reply(known[of], day, by_day[day, number, of])
        for day, number, of in sorted(by_day, reverse=True)
    ]
