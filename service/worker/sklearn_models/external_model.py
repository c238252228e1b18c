"""Versions that others logged, converted into what this service serves.

Runs in a child process. What is understood: a graph in ONNX with one matrix of numbers as input,
and a classifier on numbers in a skops file within our list (or, where a setting allows it, in a
pickle). Anything else is refused with the reason.
"""

import json
import pickle  # nosec B403
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from service.common.errors import UntrustedArtifact, clip
from service.models.onnx_classifier import load_onnx
from service.schema.contract import LARGEST, Feature, Label, Schema, encode
from service.worker.sklearn_models.array_preprocessing import LARGEST_FLOAT32
from service.worker.sklearn_models.skops_file import load_skops

_NUMBERS = frozenset({"double", "float", "long", "integer"})
_LARGEST_TEXT = 4 * 2**20


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
    if not path.is_file() or path.stat().st_size > _LARGEST_TEXT:
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
    from sklearn.pipeline import Pipeline
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
    features = _features(source, signature, width, names)
    schema = Schema(features, _labels(classes), probabilities=hasattr(estimator, "predict_proba"))
    pipeline = Pipeline([("prepare", "passthrough"), ("classify", estimator)])
    (target / "schema.json").write_bytes(encode(schema))
    (target / "model.skops").write_bytes(dumps(pipeline))


def _adopt_graph(source: Path, target: Path, flavor: Any, signature: Mapping[str, Any]) -> None:
    data = _file(source, flavor, "data").read_bytes()
    model = _parse(data)
    classes = _graph_classes(model)
    graph = load_onnx(data, classes)
    if graph.features is None:
        raise ValueError("its graph does not say how many numbers it reads")
    schema = Schema(
        _features(source, signature, graph.features, None, _largest(model)),
        _labels(classes),
        probabilities=graph.has_probabilities,
    )
    (target / "schema.json").write_bytes(encode(schema))
    (target / "model.onnx").write_bytes(data)


def _parse(data: bytes) -> Any:
    from onnx import ModelProto

    try:
        return ModelProto.FromString(data)
    except Exception as error:  # protobuf's errors have no common class that is not internal.
        raise UntrustedArtifact("the file is no ONNX model") from error


def _largest(model: Any) -> float:
    """Return the largest number that the graph's inputs can hold."""
    from onnx import TensorProto

    types = {read.type.tensor_type.elem_type for read in model.graph.input}
    return LARGEST_FLOAT32 if TensorProto.FLOAT in types else LARGEST


def _graph_classes(model: Any) -> Sequence[Any]:
    """Return the classes that a classifier's node in the graph lists."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_") and len(attribute.strings) > 1:
                return [text.decode() for text in attribute.strings]
            if attribute.name.startswith("classlabels_") and len(attribute.ints) > 1:
                return list(attribute.ints)
    raise ValueError("its graph does not list its classes, so its answers have no names")


def _features(
    source: Path,
    signature: Mapping[str, Any],
    width: int,
    seen: Sequence[str] | None,
    largest: float = LARGEST,
) -> tuple[Feature, ...]:
    names = list(seen) if seen is not None else _signed(signature, width)
    if len(names) != width or len(set(names)) != width:
        raise ValueError(f"its signature names {len(names)} features, and it reads {width}")
    values = _input_example(source, names)
    return tuple(
        Feature(name, "number", low=-largest, high=largest, example=value)
        for name, value in zip(names, values, strict=True)
    )


def _signed(signature: Mapping[str, Any], width: int) -> list[str]:
    """Return the features' names from MLflow's signature; x0, x1, … where it has none."""
    text = signature.get("inputs")
    try:
        inputs = json.loads(text) if isinstance(text, str) else []
    except (json.JSONDecodeError, RecursionError):
        inputs = []
    columns = [item for item in inputs if isinstance(item, dict) and "name" in item]
    if not columns or columns[0].get("type") == "tensor":
        return [f"x{index}" for index in range(width)]
    strange = [item for item in columns if item.get("type") not in _NUMBERS]
    if strange:
        raise ValueError(
            f"its feature {clip(strange[0]['name'])!r} is of type {clip(strange[0].get('type'))}; "
            "foreign versions are served where all features are numbers"
        )
    return [str(item["name"]) for item in columns]


def _input_example(source: Path, names: Sequence[str]) -> list[float]:
    """Return the first row of the example that was logged with it, else zeros."""
    path = source / "input_example.json"
    try:
        example = json.loads(path.read_text()) if path.stat().st_size < _LARGEST_TEXT else {}
        row = example["data"][0]
        columns = [str(name) for name in example.get("columns", names)]
        values = {name: float(value) for name, value in zip(columns, row, strict=True)}
        return [values[name] for name in names]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return [0.0] * len(names)


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
