"""The bodies of `/traffic`, as OpenAPI shows them."""

from typing import Literal, Self

from pydantic import Field, model_validator

from service.api.change_replies import ChangedReply, EpochReply
from service.api.parameters import HeaderName, ModelName
from service.api.schemas import Reply, Request
from service.api.traffic_setting import Bounds, TrafficSetting
from service.common.domain import Label
from service.common.traffic import Mode, Rules


class RulesRequest(Request, Bounds):
    """What the second version must show, and what follows."""

    else_: Literal["end", "ask"] = Field(
        "ask", alias="else", description="what follows where one does not hold"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        asked = (self.agreement, self.errors, self.latency_ratio, self.quality)
        if all(one is None for one in asked):
            raise ValueError("needs one of agreement, errors, latency_ratio and quality")
        return self

    def value(self) -> Rules:
        """Return them as the log of use keeps them."""
        return Rules(
            rows=self.rows,
            agreement=self.agreement,
            errors=self.errors,
            latency_ratio=self.latency_ratio,
            quality=self.quality,
            promote=self.then == "promote",
            end=self.else_ == "end",
        )


class TrafficRequest(Request):
    """A version to put beside the one in use."""

    name: ModelName
    version: int = Field(ge=1, le=2**31 - 1)
    mode: Mode = Field(
        description="shadow: it answers again what the version in use has answered; split: it "
        "answers clients"
    )
    percent: int = Field(ge=1, le=100, description="of the rows (shadow) or requests (split)")
    key: HeaderName | None = Field(
        None,
        description="of a split: the header by whose value a request always goes the same way",
    )
    rules: RulesRequest | None = None
    expected_epoch: int | None = Field(None, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _key_of_a_split(self) -> Self:
        if self.key is not None and self.mode != "split":
            raise ValueError("key is only for a split; a shadow answers no client")
        return self


class TrafficChangeReply(ChangedReply):
    """The model in use, which stays, and what is beside it from this epoch on."""

    traffic: TrafficSetting | None
    ended: TrafficSetting | None = Field(description="what was beside it before")


class DisagreementReply(Reply):
    """Rows that the two versions answered differently, by what they answered."""

    in_use: Label
    second: Label
    rows: int


class LatencyReply(Reply):
    """How long one row takes, both timed in turn on the same rows."""

    timed: int
    in_use_ms: float
    second_ms: float
    ratio: float


class TruthReply(Reply):
    """Rows whose truth was told, which both versions answered."""

    rows: int
    only_in_use_right: int
    only_second_right: int
    not_worse: float = Field(
        description="evidence that the second version is not worse; 20 and more is enough. "
        "Four digits, rounded down, and a billion at most"
    )
    better: float = Field(description="evidence that it is better")
    worse: float = Field(description="evidence that it is worse")


class CheckReply(Reply):
    """One rule, and whether it holds."""

    name: str
    value: float | None
    bound: float
    holds: bool | None = Field(description="null while that is not known")


class JudgementReply(Reply):
    """What the rules say now; they are acted on once a minute."""

    decision: Literal["wait", "promote", "end"]
    checks: list[CheckReply]
    sentence: str


class TrafficState(TrafficSetting):
    """The second version beside the one in use, since this epoch, in all replicas."""

    in_use: EpochReply
    since: str | None = Field(description="RFC 3339; null while MLflow has not told it")
    in_use_rows: int = Field(description="rows that the version in use answered clients")
    second_rows: int = Field(description="rows that the second version answered clients")
    rows: int = Field(description="rows that both answered")
    agreement: float | None = Field(description="the share that both answered alike")
    low: float | None = Field(description="of agreement, the 95 % interval")
    high: float | None
    disagreements: list[DisagreementReply] = Field(description="the most frequent first, up to 50")
    errors: int = Field(description="rows that the second version could not answer")
    in_use_errors: int = Field(description="rows of a split that only the second could answer")
    shed: int = Field(description="rows that were not compared, most for lack of time")
    latency: LatencyReply | None
    outcomes: TruthReply | None
    judgement: JudgementReply | None = Field(description="null without rules")
    missing: list[str] = Field(description="the addresses of replicas that do not answer")


class TrafficReply(Reply):
    """Whether there is a second version."""

    traffic: TrafficState | None
