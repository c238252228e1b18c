"""The bodies of `/use-model`, as OpenAPI shows them."""

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from service.api.change_replies import ChangedReply, ConfirmedReply, EpochReply
from service.api.parameters import ModelName
from service.api.schemas import Reply
from service.api.traffic_setting import TrafficSetting

_DIGITS = "in digits alone: 1.0, which JSON Schema takes for an integer, is refused"


class UseModelRequest(BaseModel):
    """Which version to put in use: by number, by alias, or the newest."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            # Not both: one of them is null, or left out.
            "anyOf": [
                {"properties": {"version": {"type": "null"}}},
                {"properties": {"alias": {"type": "null"}}},
            ],
            # An alias to follow has to be named.
            "allOf": [
                {
                    "anyOf": [
                        {"properties": {"follow": {"enum": [False, None]}}},
                        {"required": ["alias"], "properties": {"alias": {"type": "string"}}},
                    ]
                }
            ],
        },
    )

    name: ModelName
    version: int | None = Field(None, ge=1, le=2**31 - 1, description=_DIGITS)
    alias: str | None = Field(None, min_length=1, max_length=255)
    follow: bool | None = Field(
        None, description="whether to put in use whatever version the alias names from now on"
    )
    expected_epoch: int | None = Field(None, ge=0, le=2**31 - 1, description=_DIGITS)

    @field_validator("alias")
    @classmethod
    def _without_version(cls, alias: str | None, info: ValidationInfo) -> str | None:
        if alias is not None and info.data.get("version") is not None:
            raise ValueError("cannot be sent beside version; send one of them")
        return alias

    @field_validator("follow")
    @classmethod
    def _with_alias(cls, follow: bool | None, info: ValidationInfo) -> bool | None:
        # An alias that is wrong itself is not in the data, and is told already.
        if follow and info.data.get("alias", "") is None:
            raise ValueError("needs alias; send the one to follow")
        return follow


class FollowReply(Reply):
    """An alias of a model that is followed."""

    name: str
    alias: str


class UseReply(ConfirmedReply):
    """What is in use, and who confirms it."""

    follows: FollowReply | None = Field(description="the alias that is followed, if one is")
    follow_error: str | None = Field(
        None, description="why the version that the alias names is not in use"
    )
    decision: str = Field("", description="why, where rules of traffic put it in use or ended it")


class ChangeReply(ChangedReply, UseReply):
    """What became of a change."""

    previous: EpochReply | None
    ended_traffic: TrafficSetting | None = Field(
        None, description="the second version that was beside the previous one, if one was"
    )
