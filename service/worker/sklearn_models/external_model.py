"""Versions that others logged, converted into what this service serves.

Runs in a child process. What is understood: a graph in ONNX with one matrix of numbers as input,
and a classifier on numbers and booleans in a skops file within our list (or, where a setting allows
it, in a pickle). Anything else is refused with the reason.
"""

import pickle  # nosec B403
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from service.common.domain import Label
from service.common.errors import clip
from service.models.onnx_classifier import load_onnx
from service.schema.contract import Schema, encode
from service.worker.sklearn_models.estimator_walk import text_columns
from service.worker.sklearn_models.external_features import (
    LARGEST_TEXT,
    not_served,
    optional_features,
    read_features,
    with_missing,
)
from service.worker.sklearn_models.external_graph import (
    drop_scores,
    graph_classes,
    largest_input,
    parse_graph,
    unzip,
)
from service.worker.sklearn_models.external_pipeline import (
    PlainPipeline,
    PreparedPipeline,
    is_prepared,
)
from service.worker.sklearn_models.skops_file import load_skops


def adopt(source: Path, target: Path, allow_pickle: bool) -> None:
    """Read what MLflow holds in `source`; write `schema.json` and the model's file to `target`.

    Raises ValueError with the reason where it cannot be served.
    """
    flavors, signature = _describe(source)
    if "sklearn" in flavors:
        _adopt_estimator(source, target, flavors["sklearn"], signature, allow_pickle)
    elif "onnx" in flavors:
        _adopt_graph(source, target, flavors["onnx"], signature)
    else:
        known = ", ".join(sorted(clip(name) for name in flavors)) or "none"
        raise ValueError(f"its flavors are {known}; sklearn and onnx are served")


def _describe(source: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    path = source / "MLmodel"
    if not path.is_file() or path.stat().st_size > LARGEST_TEXT:
        raise ValueError("it has no MLmodel file that says what it is")
    try:
        document = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError("its MLmodel file is no YAML") from error
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        raise ValueError("its MLmodel file names no flavors")
    signature = document.get("signature")
    return flavors, signature if isinstance(signature, dict) else {}


def _file(source: Path, flavor: Any, key: str) -> Path:
    """Return the file that a flavor names, which must lie in the version's own folder."""
    name = flavor.get(key) if isinstance(flavor, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"its MLmodel file does not say where the {key} is")
    path = (source / name).resolve()
    if not path.is_relative_to(source.resolve()):
        raise ValueError("its MLmodel file names a file outside of it")
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise ValueError(f"its file {clip(name)} is missing")
    return path


def _adopt_estimator(
    source: Path, target: Path, flavor: Any, signature: Mapping[str, Any], allow_pickle: bool
) -> None:
    from skops.io import dumps

    path = _file(source, flavor, "pickled_model")
    if flavor.get("serialization_format") == "skops":
        estimator = load_skops(path.read_bytes())
    elif allow_pickle:
        # That is what SERVICE_ALLOW_PICKLE is for, in a process of its own.
        estimator = pickle.loads(path.read_bytes())  # nosec B301
    else:
        raise ValueError(
            "it is a pickle, and loading one runs its code; log it again with "
            'serialization_format="skops", or set SERVICE_ALLOW_PICKLE=true'
        )
    classes = getattr(estimator, "classes_", None)
    width = getattr(estimator, "n_features_in_", None)
    if classes is None or not isinstance(width, int) or not hasattr(estimator, "predict"):
        raise ValueError(f"it is a {type(estimator).__name__}, not a fitted classifier")
    seen = getattr(estimator, "feature_names_in_", None)
    names = [str(name) for name in seen] if seen is not None else None
    repeated = _repeated(estimator, width, names)
    features = read_features(source, signature, width, names, repeated.bounds, repeated.texts)
    repeated.check(features)
    schema = Schema(
        with_missing(
            features,
            optional_features(signature),
            lambda index: repeated.takes_missing(features, index),
        ),
        _labels(classes),
        probabilities=repeated.model.has_probabilities,
        unknown_categories="refuse" if repeated.refuses_unknown else "ignore",
    )
    (target / "schema.json").write_bytes(encode(schema))
    (target / "model.skops").write_bytes(dumps(repeated.pipeline))


def _repeated(
    estimator: Any, width: int, names: Sequence[str] | None
) -> PreparedPipeline | PlainPipeline:
    """Return what answers as the estimator does; raises ValueError where nothing does."""
    why: object = ""
    if names is not None and is_prepared(estimator):
        try:
            return PreparedPipeline(estimator, names)
        except Exception as error:  # Of a pipeline of others anything may be odd.
            why = error
    for text in text_columns(estimator):
        raise not_served(text, "string", why)
    return PlainPipeline(estimator, width)


def _adopt_graph(source: Path, target: Path, flavor: Any, signature: Mapping[str, Any]) -> None:
    model = parse_graph(_file(source, flavor, "data").read_bytes())
    classes = graph_classes(model)
    unzip(model)
    graph = load_onnx(model.SerializeToString(), classes)
    if graph.features is None:
        raise ValueError("its graph does not say how many numbers it reads")
    largest = largest_input(model)
    bounds = [(-largest, largest)] * graph.features
    features = read_features(source, signature, graph.features, None, bounds)
    drop_scores(model, graph, [float(feature.example) for feature in features])
    data = model.SerializeToString()
    schema = Schema(
        features, _labels(classes), probabilities=load_onnx(data, classes).has_probabilities
    )
    (target / "schema.json").write_bytes(encode(schema))
    (target / "model.onnx").write_bytes(data)


def _labels(classes: Sequence[Any]) -> tuple[Label, ...]:
    labels: list[Label] = []
    for label in classes.tolist() if hasattr(classes, "tolist") else classes:
        if isinstance(label, float) and label.is_integer():
            labels.append(int(label))
        elif isinstance(label, str | bool | int):
            labels.append(label)
        else:
            raise ValueError(f"its classes are {type(label).__name__}, not text or integers")
    if len(labels) < 2:
        raise ValueError("it knows fewer than two classes")
    return tuple(labels)
