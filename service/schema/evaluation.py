"""How a version did on its held-out rows: what a training records, and its version shows.

It is a file of the training's run, not of the version: serving does not need it, and a replica of
an older release refuses a version with a file that it does not know. It is read strictly, since
other writers to MLflow may have put anything in its place.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.common.domain import Label

FILE = "evaluation.json"

MOST_BYTES = 2**20
"""The largest size of the file. It grows with the number of classes. A training whose file would be
larger writes none."""

MOST_CLASSES = 10_000
MOST_CONFUSED = 50
"""A confusion matrix is recorded for at most this many classes."""
MOST_CURVES = 10
"""Curves are recorded for at most this many classes."""
MOST_POINTS = 200
BINS = 10

Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    # What a newer release adds is ignored.
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)


class ClassEvaluation(_Part):
    """How the rows of one class were answered."""

    label: Label
    rows: Rows = Field(description="held-out rows of this class")
    precision: Share
    recall: Share
    f1: Share


class RocCurve(_Part):
    """How well the probability of a class tells its rows from the rest."""

    label: Label
    auc: Share = Field(description="the area under the whole curve")
    points: list[Annotated[list[Share], Field(min_length=2, max_length=2)]] = Field(
        min_length=2,
        max_length=MOST_POINTS,
        description="[false positive rate, true positive rate], from [0, 0] to [1, 1]",
    )


class CalibrationBin(_Part):
    """The rows whose probability lies in one tenth of 0 to 1."""

    predicted: Share = Field(description="the mean probability given")
    observed: Share = Field(description="the share of rows that are of the class")
    rows: Annotated[int, Field(ge=1)]


class CalibrationCurve(_Part):
    """How often a class occurs where the classifier gives it a probability."""

    label: Label
    bins: list[CalibrationBin] = Field(
        min_length=1, max_length=BINS, description="tenths without a row are left out"
    )


class Evaluation(_Part):
    """How a version did on the held-out rows."""

    rows: Annotated[int, Field(ge=1)]
    classes: list[Label] = Field(min_length=2, max_length=MOST_CLASSES)
    by_class: list[ClassEvaluation]
    confusion: list[list[Rows]] | None = Field(
        None,
        max_length=MOST_CONFUSED,
        description=f"rows by true class, then by predicted one, in the order of `classes`; left "
        f"out for more than {MOST_CONFUSED}",
    )
    roc: list[RocCurve] | None = Field(
        None,
        max_length=MOST_CURVES,
        description="of the second of two classes, else of each against the rest; left out without "
        f"probabilities, or for more than {MOST_CURVES} classes",
    )
    calibration: list[CalibrationCurve] | None = Field(
        None, max_length=MOST_CURVES, description="of the classes of `roc`"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Check that the parts are about the same classes."""
        known = [(type(label), label) for label in self.classes]
        if [(type(one.label), one.label) for one in self.by_class] != known:
            raise ValueError("by_class is not of these classes, in their order")
        for curve in (*(self.roc or ()), *(self.calibration or ())):
            if (type(curve.label), curve.label) not in known:
                raise ValueError("a curve is of another class")
        if self.confusion is not None:
            widths = {len(row) for row in self.confusion}
            if len(self.confusion) != len(known) or widths != {len(known)}:
                raise ValueError("confusion is not of these classes")
        return self


def encode(evaluation: Evaluation) -> bytes:
    """Return the JSON that `decode` reads."""
    return evaluation.model_dump_json(exclude_unset=True).encode()


def decode(data: bytes) -> Evaluation:
    """Decode an evaluation; raises ValueError (pydantic's) for anything else."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    return Evaluation.model_validate_json(data)
