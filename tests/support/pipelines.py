"""Data sets, pipelines as the service fits them, and rows on which graphs could differ."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from service.schema.contract import Feature
from service.worker.sklearn_models.estimator_walk import estimators

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Rows to train on: numbers as float64, text unchanged, booleans as 0/1 in float64."""

    name: str
    frame: pd.DataFrame
    y: NDArray[Any]
    booleans: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return [str(c) for c in self.frame]

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the text columns."""
        return tuple(c for c in self.names if self.frame[c].dtype != np.float64)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The names of the numeric columns."""
        special = {*self.booleans, *self.texts}
        return tuple(c for c in self.names if c not in special)

    def features(self) -> list[Feature]:
        """Return the columns as features of a schema."""
        return [
            Feature(c, "text" if c in self.texts else "boolean" if c in self.booleans else "number")
            for c in self.names
        ]


def iris() -> DataSet:
    """Return iris, which has text labels."""
    bunch = load_iris()
    return DataSet("iris", _frame(bunch.data), bunch.target_names[bunch.target].astype(object))


def wine() -> DataSet:
    """Return wine, which has integer labels."""
    bunch = load_wine()
    return DataSet("wine", _frame(bunch.data), bunch.target)


def breast_cancer() -> DataSet:
    """Return the breast cancer data, with Boolean labels."""
    bunch = load_breast_cancer()
    return DataSet("breast_cancer", _frame(bunch.data), bunch.target.astype(bool))


def digits() -> DataSet:
    """Return the digits, which have ten classes."""
    bunch = load_digits()
    return DataSet("digits", _frame(bunch.data), bunch.target)


def mixed(count: int = 600) -> DataSet:
    """Return numbers, text and booleans, each with and without missing values."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "city": random.choice(["rio", "são paulo", "bahia", "x"], count).astype(object),
            "age": random.integers(18, 90, count).astype(float),
            "income": np.exp(random.normal(10, 1, count)),
            "score": random.normal(0, 1, count),
            "plan": random.choice(list("abcdef"), count).astype(object),
            "visits": random.poisson(3, count).astype(float),
            "vip": random.integers(0, 2, count).astype(float),
            "member": random.integers(0, 2, count).astype(float),
        }
    )
    total = (frame.income > 2e4) * 1 + (frame.city == "rio") + frame.vip + (frame.score > 0.3)
    y = np.array(["low", "mid", "high"])[np.clip(total.to_numpy(int) - 1, 0, 2)]
    for column in ("income", "score", "member"):
        frame.loc[random.random(count) < 0.08, column] = np.nan
    frame.loc[random.random(count) < 0.06, "plan"] = np.nan
    return DataSet("mixed", frame, y, ("vip", "member"))


def magnitudes(count: int = 600) -> DataSet:
    """Return numbers from 1e-12 to 1e15 that are equal in float32, and missing ones."""
    random = np.random.default_rng(4)
    seconds = 1.7e9 + random.uniform(0, 2e5, count)
    key = 1e12 + random.integers(0, 5000, count).astype(float)
    tiny = random.normal(0, 1, count) * 1e-9
    frame = pd.DataFrame(
        {
            "unix": seconds,
            "id": key,
            "tiny": tiny,
            "mix": 10.0 ** random.uniform(-12, 12, count) * random.choice([-1, 1], count),
            "again": seconds,
            "constant": 3.0,
            "big": 1e15 + random.integers(0, 100, count) * 1.0,
            "count": random.integers(0, 5, count) * 1.0,
            "share": random.random(count),
        }
    )
    noise = 0.3 * random.normal(size=count)
    y = (seconds - 1.7e9) / 2e5 + (key - 1e12) / 5000 + tiny * 3e8 + noise > 1
    frame.loc[random.random(count) < 0.05, "tiny"] = np.nan
    frame.loc[random.random(count) < 0.05, "unix"] = np.nan
    return DataSet("magnitudes", frame, y.astype(int))


def _frame(data: Floats) -> pd.DataFrame:
    return pd.DataFrame(data.astype(float), columns=[f"f{i}" for i in range(data.shape[1])])


def fit(data: DataSet, classifier: Any, *, scale: str = "none", impute: bool = True) -> Pipeline:
    """Fit a pipeline as the service builds it; `scale` is none, standard or range."""

    def chain(missing: bool) -> Any:
        steps: list[tuple[str, Any]] = []
        if missing and impute:
            steps.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
        if scale != "none":
            scaler = StandardScaler() if scale == "standard" else MinMaxScaler(clip=True)
            steps.append(("scale", scaler))
        return Pipeline(steps) if steps else "passthrough"

    frequent: dict[str, Any] = {"strategy": "most_frequent", "keep_empty_features": True}
    boolean = Pipeline([("impute", SimpleImputer(**frequent))]) if impute else "passthrough"
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    text = Pipeline([("impute", SimpleImputer(**frequent)), ("encode", encoder)])
    lacking = data.frame.isna().any()
    blocks = [
        ("number", chain(False), [c for c in data.numbers if not lacking[c]]),
        ("number_missing", chain(True), [c for c in data.numbers if lacking[c]]),
        ("boolean", "passthrough", [c for c in data.booleans if not lacking[c]]),
        ("boolean_missing", boolean, [c for c in data.booleans if lacking[c]]),
        ("text", text, list(data.texts)),
    ]
    prepare = ColumnTransformer(
        [block for block in blocks if block[2]],
        remainder="drop",
        verbose_feature_names_out=False,
        sparse_threshold=0,
    )
    return Pipeline([("prepare", prepare), ("classify", classifier)]).fit(data.frame, data.y)


def matrix(pipeline: Pipeline, frame: pd.DataFrame) -> Floats:
    """Return `frame` as the matrix that the service's decoder makes of a request."""
    codes: dict[str, dict[Any, int]] = {}
    for name, transformer, columns in pipeline["prepare"].transformers_:
        if name == "text":
            for place, column in enumerate(columns):
                values = list(transformer["encode"].categories_[place])
                codes[column] = {value: code for code, value in enumerate(values)}
                codes[column][None] = codes[column][transformer["impute"].statistics_[place]]
    X = np.empty(frame.shape)
    for place, column in enumerate(frame):
        if column in codes:
            known = codes[column]
            X[:, place] = [known.get(None if v != v else v, -1) for v in frame[column]]
        else:
            X[:, place] = frame[column]
    return X


def with_other_weight(model: bytes, by: float) -> bytes:
    """Change one number in a graph: the first entry of its largest constant."""
    changed = onnx.ModelProto.FromString(model)
    largest = max(changed.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(largest).copy()
    values.flat[0] += by
    largest.CopyFrom(numpy_helper.from_array(values, largest.name))
    return bytes(changed.SerializeToString())


def hard_rows(data: DataSet, pipeline: Pipeline, count: int, seed: int = 11) -> pd.DataFrame:
    """Make rows from the training data: jittered, shuffled, out of range, on thresholds."""
    random = np.random.default_rng(seed)
    rows = data.frame.iloc[random.integers(0, len(data.frame), count)].reset_index(drop=True)
    part = random.integers(0, 5, count)
    splits = _thresholds(data, pipeline)
    for column in data.numbers:
        known = data.frame[column].to_numpy()
        values = rows[column].to_numpy(copy=True)
        low, high, spread = np.nanmin(known), np.nanmax(known), np.nanstd(known)
        at = part == 1
        values[at] += random.normal(size=at.sum()) * spread * 0.3
        at = part == 2
        values[at] = random.choice(known, at.sum())
        at = part == 3
        beyond = 0.5 * (high - low)
        values[at] = random.uniform(low - beyond, high + beyond, at.sum())
        if splits.get(column) is not None:
            at = part == 4
            values[at] = _beside(random.choice(splits[column], at.sum()), random)
        rows[column] = values
    for column in data.texts:
        at = part == 3
        rows.loc[at, column] = random.choice(data.frame[column].unique(), at.sum())
        rows.loc[random.random(count) < 0.02, column] = "never seen"
    for column in data.booleans:
        at = part >= 2
        rows.loc[at, column] = random.choice(data.frame[column].to_numpy(), at.sum())
    return rows


def _beside(thresholds: Floats, random: np.random.Generator) -> Floats:
    """Return thresholds, their float32 values, and the adjacent numbers of both."""
    single = thresholds.astype(np.float32)
    up, down = np.float32(np.inf), np.float32(-np.inf)
    choices: list[Any] = [
        thresholds,
        single,
        np.nextafter(single, up),
        np.nextafter(single, down),
        np.nextafter(thresholds, np.inf),
        np.nextafter(thresholds, -np.inf),
    ]
    chosen = np.choose(random.integers(0, 6, len(thresholds)), [c.astype(float) for c in choices])
    return np.where(np.abs(chosen) < 3e38, chosen, 0.0)


def _thresholds(data: DataSet, pipeline: Pipeline) -> dict[str, Floats]:
    """List the trees' thresholds on each number that is not scaled."""
    order = []
    for name, transformer, columns in pipeline["prepare"].transformers_:
        if name.startswith("number"):
            if "scale" in getattr(transformer, "named_steps", {}):
                return {}
            order += list(columns)
    found: dict[str, list[float]] = {}
    for feature, threshold in _splits(pipeline["classify"]):
        if 0 <= feature < len(order):
            found.setdefault(order[feature], []).append(threshold)
    assert set(found) <= set(data.numbers)
    return {column: np.array(values) for column, values in found.items()}


def _splits(classifier: Any) -> Iterator[tuple[int, float]]:
    for estimator in estimators(classifier):
        if hasattr(estimator, "tree_"):
            tree = estimator.tree_
            inner = tree.children_left >= 0
            yield from zip(tree.feature[inner], tree.threshold[inner], strict=True)
        for predictor in (p for s in getattr(estimator, "_predictors", []) for p in s):
            nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            yield from zip(nodes["feature_idx"].astype(int), nodes["num_threshold"], strict=True)


DATA_SETS: tuple[Callable[[], DataSet], ...] = (
    iris,
    wine,
    breast_cancer,
    digits,
    mixed,
    magnitudes,
)
