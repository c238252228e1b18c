"""Every classifier of the catalogue as the service trains it: whether by graph, and its parity."""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.common.errors import InvalidRequest
from service.schema.train_request import TrainRequest
from service.worker.data.table import BUILT_IN, Column, Table, built_in
from service.worker.learning.classifiers import catalogue
from service.worker.learning.fitting import fit
from service.worker.learning.plan import plan
from service.worker.onnx_export.builder import NotConvertible
from service.worker.onnx_export.convert import convert
from service.worker.onnx_export.parity import check
from service.worker.sklearn_models.array_preprocessing import Preparation
from service.worker.sklearn_models.classifier import NativeClassifier


def mixed(rows: int = 600) -> Table:
    """Make numbers, Unix times, texts and booleans with gaps; the target is `level`."""
    random = np.random.default_rng(3)
    income = np.exp(random.normal(10, 1, rows))
    city = random.choice(["rio", "são paulo", "bahia", "x"], rows)
    vip = random.integers(0, 2, rows).astype(np.float64)
    label = np.digitize(np.log(income) + (city == "rio") + vip, np.array([10, 11.2]))
    columns = {
        "income": Column("number", np.where(random.random(rows) < 0.1, np.nan, income)),
        "seen": Column("number", 1.7e9 + random.integers(0, 10**7, rows).astype(np.float64)),
        "city": Column("text", _with_gaps(city, random)),
        "vip": Column("boolean", np.where(random.random(rows) < 0.1, np.nan, vip)),
        "level": Column("text", np.array(["low", "mid", "high"], object)[label]),
    }
    return Table(columns)


def _with_gaps(texts: NDArray[np.str_], random: np.random.Generator) -> NDArray[np.object_]:
    gaps = texts.astype(np.object_)
    gaps[random.random(len(texts)) < 0.1] = None
    return gaps


def _data_sets() -> Iterator[tuple[str, Table, str]]:
    for name in sorted(BUILT_IN):
        yield (name, *built_in(name))
    yield "mixed", mixed(), "level"


def _line(kind: str, data_set: str, table: Table, target: str) -> str:
    request = TrainRequest(name="bench", model_type=kind, target=target)
    try:
        fitted = fit(plan(table, request))
    except InvalidRequest as error:
        return f"| {kind} | {data_set} | refused | | | | {error} |"
    names = [feature.name for feature in fitted.schema.features]
    frame = table.to_frame(names)
    try:
        parity = check(convert(fitted.pipeline, names), fitted.pipeline, frame, fitted.X)
    except NotConvertible as error:
        native = NativeClassifier(
            fitted.pipeline, Preparation.from_pipeline(fitted.pipeline, names)
        )
        wanted = np.searchsorted(native.classes, fitted.pipeline.predict(frame))
        differ = int((native.labels(fitted.X) != wanted).sum())
        away = 0.0
        if native.has_probabilities:
            _, found = native.labels_and_probabilities(fitted.X)
            away = float(np.abs(found - fitted.pipeline.predict_proba(frame)).max())
        row = ("native", len(fitted.X), differ, away, str(error))
    else:
        route = "onnx" if parity.agrees else "native"
        row = (route, parity.rows, parity.differing, parity.largest_difference, "")
    route, rows, differ, away, note = row
    return f"| {kind} | {data_set} | {route} | {rows:,} | {differ} | {away:.0e} | {note} |"


def main() -> int:
    """Print the table; return 1 if a label differs."""
    sys.stdout.write(
        "| classifier | data set | route | rows | labels differ | largest difference | notes |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    wrong = False
    for kind in catalogue():
        for data_set, table, target in _data_sets():
            line = _line(kind.name, data_set, table, target)
            wrong |= line.split("|")[5].strip() not in ("0", "")
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
