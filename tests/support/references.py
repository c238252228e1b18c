"""Schemas and references of made-up rows, for tests of what is counted beside them."""

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Feature, Schema
from service.schema.reference import Reference
from service.skew.budget import Budget
from service.skew.tally import Tally
from service.worker.data.table import Column, Table
from service.worker.learning.reference import record

FAR_MORE = 10**9
"""More rows a second than any test has."""


class FakeClock:
    """Seconds since 1970 that pass when a test says so."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def mixed_rows(rows: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw rows of `MIXED`, as decoders make them."""
    random = np.random.default_rng(seed)
    amount = random.lognormal(size=rows)
    count = random.poisson(2.0, rows).astype(float)
    gaps = random.normal(size=rows)
    gaps[random.random(rows) < 0.1] = np.nan
    flag = (random.random(rows) < 0.3).astype(float)
    city = random.choice([0.0, 1.0, 2.0, np.nan], rows, p=[0.5, 0.3, 0.15, 0.05])
    return np.column_stack([amount, count, gaps, flag, city])


MIXED = (
    Feature("amount", "number"),
    Feature("count", "number"),
    Feature("gaps", "number", nullable=True),
    Feature("flag", "boolean"),
    Feature("city", "text", nullable=True, categories=("Lima", "Oslo", "Rome"), missing_code=0),
)


def reference_of(
    features: tuple[Feature, ...], X: NDArray[np.float64], answered: NDArray[np.int64]
) -> tuple[Schema, Reference]:
    """Make the schema and the reference of rows [N, F]; `answered` counts answers by class."""
    columns = {}
    described = []
    for place, feature in enumerate(features):
        cells = X[:, place]
        if feature.type == "text":
            texts = np.empty(len(X), object)
            texts[:] = [None if np.isnan(c) else feature.categories[int(c)] for c in cells]
            columns[feature.name] = Column("text", texts)
        else:
            columns[feature.name] = Column(feature.type, cells)
        seen = (float(np.nanmin(cells)), float(np.nanmax(cells)))
        described.append(
            Feature(
                feature.name,
                feature.type,
                nullable=feature.nullable,
                categories=feature.categories,
                missing_code=feature.missing_code,
                seen=seen if feature.type == "number" else None,
            )
        )
    schema = Schema(tuple(described), tuple(f"class {k}" for k in range(len(answered))))
    rows = np.arange(len(X))
    chances = np.full((int(answered.sum()), len(answered)), 1 / len(answered))
    coded = np.where(np.isnan(X), 0.0, X)
    reference = record(schema, Table(columns), coded, rows, rows, answered, chances)
    return schema, reference


def tally_of(
    features: tuple[Feature, ...] = MIXED,
    X: NDArray[np.float64] | None = None,
    budget: Budget | None = None,
    clock: FakeClock | None = None,
) -> Tally:
    """Return the tally of a version that was trained on these rows, of two classes."""
    rows = mixed_rows(2000) if X is None else X
    schema, reference = reference_of(features, rows, np.array([120, 80]))
    return Tally(
        "it", schema, reference, Budget(FAR_MORE) if budget is None else budget,
        FakeClock() if clock is None else clock,
    )  # fmt: skip
