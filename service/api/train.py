"""`/train` and `/trainings`: trainings as jobs that a client may wait for, follow and cancel."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic.json_schema import SkipJsonSchema

from service.api.parameters import STRICT_QUERY, IdempotencyKey
from service.api.request_body import media_type
from service.api.schemas import (
    DryRunReply,
    ProblemReply,
    TrainBody,
    TrainingReply,
)
from service.api.services import Services, services_of
from service.api.trainings import LINKS, training_reply
from service.api.upload_body import FORM, receive_upload
from service.common.domain import Fault, Training, Version
from service.common.errors import (
    IdempotencyConflict,
    JobFailed,
    NotFound,
    ServiceError,
    TrainingCancelled,
    TrainingLost,
    TrainingRefused,
    UnsupportedMediaType,
    clip,
)
from service.training.uploads import DryRun, Upload

router = APIRouter(tags=["training"])

_PROBLEM = {"model": ProblemReply}
_EXAMPLE = {
    "model_type": "RandomForestClassifier",
    "params": {"n_estimators": 50},
    "dataset": "wine",
}
_SCHEMA = TrainBody.model_json_schema(ref_template="#/components/schemas/{model}")
_SCHEMA.pop("$defs")  # openapi defines what it refers to


_FAILURES: Mapping[Fault | None, type[ServiceError]] = {
    "request": JobFailed,
    "conflict": TrainingRefused,
    "service": TrainingLost,
}


_TRAINING = {"training": "$response.body#/id"}


async def _check_media(request: Request) -> None:
    """Refuse a bare file before its query, which would be the form's fields, is looked at."""
    kind = media_type(request)
    if kind not in ("application/json", FORM):
        advice = (
            "send JSON, or the file in a form: curl -F file=@rows.csv -F target=… -F model_type=…"
        )
        raise UnsupportedMediaType(clip(kind), advice=advice)


@router.post(
    "/train",
    summary="Train a classifier and put it in use",
    status_code=201,
    dependencies=[Depends(_check_media), *STRICT_QUERY],
    response_model=TrainingReply,
    response_model_exclude_unset=True,
    responses={
        200: {"model": DryRunReply, "description": "What a training would see: a dry run"},
        201: {
            "links": {
                "training": {"operationId": "get_training", "parameters": _TRAINING},
                **LINKS,
            }
        },
        202: {
            "model": TrainingReply,
            "description": "It goes on; follow it where Location says",
            "links": {
                "training": {"operationId": "get_training", "parameters": _TRAINING},
                "cancel": {"operationId": "cancel_training", "parameters": _TRAINING},
            },
        },
        **dict.fromkeys((400, 404, 409, 413, 415, 429, 503), _PROBLEM),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _SCHEMA, "example": _EXAMPLE},
                FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            **{key: {"type": "string"} for key in _SCHEMA["properties"]},
                        },
                    }
                },
            },
        },
    },
)
async def train(
    request: Request,
    response: Response,
    idempotency_key: Annotated[
        IdempotencyKey | SkipJsonSchema[None],
        Header(
            description="Sent again with the same body, the request gets the first one's training. "
            "Two replicas that receive it within milliseconds may both train."
        ),
    ] = None,
) -> TrainingReply | JSONResponse:
    """Look at the rows, put the training in the queue, and wait for its end if that is wished."""
    services = services_of(request)
    role = request.scope.get("role", "admin")
    services.training_queue.check_room()
    # Before anything is received: questions that find out whether MLflow and its storage answer.
    await asyncio.gather(
        services.ask(services.registry.newest_use), services.ask(services.registry.reach_storage)
    )
    upload = await services.run(services.uploads.open)
    training = None
    try:
        await receive_upload(request, services, upload, ("application/json", FORM))
        if idempotency_key is None:
            submitted = await _submit(services, upload, {}, role)
        else:
            details = await services.run(_identity, idempotency_key, upload)
            async with services.one_per_key(details["idempotency_key"]):
                earlier = await _earlier(services, details)
                if earlier is None:
                    submitted = await _submit(services, upload, details, role)
            if earlier is not None:
                wait = await services.run(
                    services.uploads.wait_of, upload, services.settings.wait_seconds
                )
                return await _result(services, earlier, wait, response)
        if isinstance(submitted, DryRun):
            return JSONResponse(submitted.found)
        training, wait = submitted
    finally:
        if training is None:
            await services.run(services.uploads.close, upload)
    return await _result(services, training, wait, response)


async def _submit(
    services: Services, upload: Upload, details: dict[str, str], role: str
) -> tuple[Training, float] | DryRun:
    in_use = await _version_in_use(services)
    async with services.reading:
        checked = await services.run(
            services.uploads.training, upload, in_use, services.settings.wait_seconds, role
        )
    if isinstance(checked, DryRun):
        return checked
    spec, wait = checked
    if details and (earlier := await _earlier(services, details)) is not None:
        # Another replica got the same key while the rows were read here.
        await services.run(services.uploads.close, upload)
        return earlier, wait
    return await services.run(services.training_queue.submit, spec, details), wait


async def _version_in_use(services: Services) -> Version | None:
    """Return the version whose type a request without one takes; None where there is none."""
    in_use = services.current_model.in_use
    if in_use is None:
        return None
    try:
        return await services.ask(services.registry.get_version, in_use.name, in_use.version)
    except NotFound:
        return None


def _identity(key: str, upload: Upload) -> dict[str, str]:
    """Return what tells whether a request is the same as an earlier one."""
    return {
        "idempotency_key": hashlib.sha256(key.encode()).hexdigest(),
        "request": upload.digest(upload.media, upload.file_name, sorted(upload.fields.items())),
    }


async def _earlier(services: Services, details: dict[str, str]) -> Training | None:
    found = await services.ask(services.registry.training_of_key, details["idempotency_key"])
    if found is None:
        return None
    training, digest = found
    if digest != details["request"]:
        raise IdempotencyConflict
    return training


async def _result(
    services: Services, training: Training, wait: float, response: Response
) -> TrainingReply:
    """Wait for the end of a training, and return what a client of `/train` gets."""
    run = services.training_queue.run(training.id)
    if run is not None:
        try:
            async with asyncio.timeout(wait):
                training = await asyncio.shield(asyncio.wrap_future(run.ended))
        except TimeoutError:
            training = run.training
        if training.ended and run.failure is not None:
            raise run.failure
    elif not training.ended:
        training = await services.ask(services.registry.get_training, training.id)
    if training.state == "failed":
        raise _FAILURES.get(training.fault, JobFailed)(training.error or "The training failed.")
    if training.state == "cancelled":
        raise TrainingCancelled(training.id)
    response.status_code = 201 if training.ended else 202
    response.headers["location"] = f"/trainings/{training.id}"
    return training_reply(training)
