"""The preprocessing of columns by type, the schema of a version, and its matrix."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from service.common.domain import Label
from service.models.classifier import Floats
from service.schema.contract import Feature, Schema, Value
from service.worker.data.table import Column, Table
from service.worker.learning.classifiers import Scale
from service.worker.learning.column_checks import power_of_two
from service.worker.sklearn_models.array_preprocessing import Preparation


def transformer(
    table: Table,
    names: Sequence[str],
    scale: Scale,
    takes_missing: bool,
    tiny: Collection[str] = (),
) -> ColumnTransformer:
    """Return the unfitted preprocessing of these columns, by their types.

    Its blocks stand in the order number, number_missing, the same for `tiny` columns, boolean,
    boolean_missing, text; a block without columns is left out.
    """
    groups: dict[str, list[str]] = {
        "number": [],
        "number_missing": [],
        "tiny": [],
        "tiny_missing": [],
        "boolean": [],
        "boolean_missing": [],
        "text": [],
    }
    missing_text = False
    for name in names:
        kind, missing = table.columns[name].type, table.missing(name) > 0
        missing_text |= missing and kind == "text"
        block: str = "tiny" if name in tiny else kind
        groups[block if kind == "text" or not missing else f"{block}_missing"].append(name)
    steps: dict[str, list[tuple[str, Any]]] = {block: [] for block in groups}
    if not takes_missing:
        for name in ("number_missing", "tiny_missing"):
            steps[name].append(("impute", _imputer("median")))
        steps["boolean_missing"].append(("impute", _imputer("most_frequent")))
    if scale is not None:
        for block in ("number", "number_missing"):
            scaler = MinMaxScaler(clip=True) if scale == "minmax" else StandardScaler()
            steps[block].append(("scale", scaler))
    for block in ("tiny", "tiny_missing"):
        if groups[block]:
            factors = [power_of_two(table.columns[name]) for name in groups[block]]
            # An imputer before it gives an array, which has no names.
            named = None if steps[block] else groups[block]
            steps[block].append(("scale", _multiplier(np.array(factors), named)))
    if missing_text:
        steps["text"].append(("impute", _imputer("most_frequent")))
    steps["text"].append(("encode", OneHotEncoder(handle_unknown="ignore", sparse_output=False)))
    return ColumnTransformer(
        [
            (block, Pipeline(steps[block]) if steps[block] else "passthrough", columns)
            for block, columns in groups.items()
            if columns
        ],
        remainder="drop",
        sparse_threshold=0,
        verbose_feature_names_out=False,
    )


def _imputer(strategy: str) -> SimpleImputer:
    return SimpleImputer(strategy=strategy, missing_values=np.nan, keep_empty_features=True)


def _multiplier(factors: Floats, names: Sequence[str] | None) -> FrozenEstimator:
    """Return a transformer that multiplies by these factors, whatever it is fitted on.

    By powers of two, so that nothing is rounded. `names` are those of its input, if it has any.
    """
    scaler = StandardScaler(with_mean=False)
    scaler.scale_ = 1.0 / factors
    scaler.var_ = scaler.scale_**2
    scaler.mean_ = None
    scaler.n_samples_seen_ = 1
    scaler.n_features_in_ = len(factors)
    if names is not None:
        scaler.feature_names_in_ = np.array(names, dtype=object)
    return FrozenEstimator(scaler)


def schema(
    pipeline: Pipeline,
    table: Table,
    names: Sequence[str],
    fitted: NDArray[np.int64],
    classes: tuple[Label, ...],
    **more: Any,
) -> Schema:
    """Describe what the fitted pipeline expects; `fitted` are the rows it was fitted on."""
    categories, missing_codes = _categories(pipeline, table)
    bounds = Preparation.from_pipeline(pipeline, names).bounds(pipeline["classify"])
    features = []
    for name, (low, high) in zip(names, bounds, strict=True):
        column = table.columns[name]
        nullable = table.missing(name) > 0
        seen = Column(column.type, column.values[fitted])
        present = seen.values[~seen.missing]
        if column.type == "number":
            smallest, largest = float(present.min()), float(present.max())
            feature = Feature(
                name,
                "number",
                nullable,
                low=low,
                high=high,
                example=typical(present),
                seen=(smallest, largest),
                written=column.written,
            )
        elif column.type == "boolean":
            feature = Feature(name, "boolean", nullable, example=bool(present.mean() >= 0.5))
        else:
            known = categories[name]
            codes = _codes(present, known)
            example: Value = known[int(np.argmax(np.bincount(codes, minlength=len(known))))]
            code = missing_codes.get(name, -1) if nullable else -1
            feature = Feature(
                name, "text", nullable, categories=known, missing_code=code, example=example
            )
        features.append(feature)
    return Schema(tuple(features), classes, **more)


def _categories(
    pipeline: Pipeline, table: Table
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """Return the categories of each text column, and the code that stands for a missing text.

    Those that no fitted row has come last: the encoder has no column for their codes, and answers
    them as scikit-learn answers an unknown category.
    """
    prepare = pipeline["prepare"]
    if isinstance(prepare, str) or "text" not in prepare.named_transformers_:
        return {}, {}
    columns = next(columns for block, _, columns in prepare.transformers_ if block == "text")
    block = prepare.named_transformers_["text"]
    categories = {}
    for name, fitted in zip(columns, block["encode"].categories_, strict=True):
        known = [str(category) for category in fitted]
        others = set(table.columns[name].values) - set(known) - {None}
        categories[name] = (*known, *sorted(others))
    if "impute" not in block.named_steps:
        return categories, {}
    frequent = dict(zip(columns, block["impute"].statistics_, strict=True))
    return categories, {name: categories[name].index(frequent[name]) for name in columns}


def typical(values: Floats) -> float:
    """Return the median, rounded to as few digits as stay near it and within the values."""
    middle = float(np.median(values))
    low, high = float(values.min()), float(values.max())
    if (values == np.round(values)).all():
        return float(round(middle))
    for digits in range(1, 17):
        rounded = float(f"{middle:.{digits}g}")
        if low <= rounded <= high and abs(rounded - middle) <= (high - low) / 200:
            return rounded
    return middle


def encode(table: Table, schema: Schema) -> Floats:
    """Return the float64 matrix [rows, features] of the schema's contract, of every row."""
    X = np.empty((table.rows, len(schema.features)), order="F")
    for place, feature in enumerate(schema.features):
        values = table.columns[feature.name].values
        if feature.type == "text":
            values = _codes(values, feature.categories, feature.missing_code)
        X[:, place] = values
    return np.ascontiguousarray(X)


def _codes(values: NDArray[Any], known: Sequence[str], missing: int = -1) -> NDArray[np.int64]:
    """Look every text up among the categories; an unknown one is -1."""
    found, distinct = pd.factorize(values)
    places = {category: code for code, category in enumerate(known)}
    table = np.array([*(places.get(text, -1) for text in distinct), missing], dtype=np.int64)
    codes: NDArray[np.int64] = table[found]
    return codes
