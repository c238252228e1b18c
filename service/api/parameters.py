"""Parameters of paths and queries: their types, and what is said of a wrong one."""

import re
from collections.abc import Callable
from typing import Annotated, NamedTuple

from fastapi import Depends, Query, Request
from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from service.common.did_you_mean import did_you_mean
from service.common.domain import (
    LOG_OF_USE,
    MODEL_NAME,
    NAME,
    NEXT_PAGE,
    is_model_name,
    is_name,
)
from service.common.errors import InvalidRequest, ModelNotFound, VersionNotFound, clip

NAMES = "must be 1 to 128 of A-Z a-z 0-9 . _ -, and not . or .. alone"
MODEL_NAMES = "must be 1 to 256 characters without / and :, not blank, not ., and not begin with .."

HEADER_NAMES = "must be the name of a header: 1 to 64 of A-Z a-z 0-9 ! # $ % & ' * + . ^ _ ` | ~ -"

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def _checked(is_valid: Callable[[str], bool], names: str) -> AfterValidator:
    def check(name: str) -> str:
        if not is_valid(name):
            raise ValueError(names)
        return name

    return AfterValidator(check)


Name = Annotated[
    str,
    _checked(is_name, NAMES),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"}),
]
"""The name of a data set in a query or a body; one that is ill-formed is 400."""

ModelName = Annotated[
    str,
    _checked(is_model_name, MODEL_NAMES),
    WithJsonSchema({"type": "string", "pattern": f"^{MODEL_NAME}$"}),
]
"""The name of a model in a query or a body; one that is ill-formed is 400."""

HeaderName = Annotated[
    str,
    _checked(lambda name: bool(_HEADER.fullmatch(name)), HEADER_NAMES),
    WithJsonSchema({"type": "string", "pattern": f"^{_HEADER.pattern}$"}),
]
"""The name of a header of HTTP in a body; one that is ill-formed is 400."""

IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""The key of a request that may be sent again."""

Limit = Annotated[int, Query(ge=1, le=1000)]
"""The most items of a page."""

PageToken = Annotated[
    Annotated[str, StringConstraints(pattern=f"^{NEXT_PAGE}$")] | SkipJsonSchema[None],
    Query(description="The `next_page_token` of the page before."),
]


async def only_known_parameters(request: Request) -> None:
    """Refuse a query parameter that the route does not have, or that was sent twice."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    seen: set[str] = set()
    for key, _ in request.query_params.multi_items():
        if key not in known:
            hint = did_you_mean(key, known) or "."
            raise InvalidRequest(f"{clip(key)!r} is not a parameter of this route{hint}")
        if key in seen:
            raise InvalidRequest(f"{key} was sent twice.")
        seen.add(key)


STRICT_QUERY = [Depends(only_known_parameters)]


class _VersionId(NamedTuple):
    name: str
    version: int


def checked_version(name: str, version: str | None) -> int | None:
    """Return the number of a version in a path; raises ModelNotFound or VersionNotFound."""
    if not is_model_name(name) or name == LOG_OF_USE:
        raise ModelNotFound(name)
    if version is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise VersionNotFound(name, version)
    return int(version)


async def _version_in_path(name: str, version: str) -> _VersionId:
    number = checked_version(name, version)
    assert number is not None
    return _VersionId(name, number)


VersionId = Annotated[_VersionId, Depends(_version_in_path)]
"""The version that a path names; one that cannot exist is 404."""
