"""Graphs in ONNX that others converted, mostly with skl2onnx, made to answer like our own."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from service.common.errors import UntrustedArtifact
from service.models.onnx_classifier import ROUNDING, OnnxClassifier
from service.schema.contract import LARGEST
from service.worker.sklearn_models.array_preprocessing import LARGEST_FLOAT32


def parse_graph(data: bytes) -> Any:
    """Return the model of a file; raises UntrustedArtifact."""
    from onnx import ModelProto

    try:
        return ModelProto.FromString(data)
    except Exception as error:  # protobuf's errors have no common class that is not internal.
        raise UntrustedArtifact("the file is no ONNX model") from error


def largest_input(model: Any) -> float:
    """Return the largest number that the graph's inputs can hold."""
    from onnx import TensorProto

    types = {read.type.tensor_type.elem_type for read in model.graph.input}
    return LARGEST_FLOAT32 if TensorProto.FLOAT in types else LARGEST


def graph_classes(model: Any) -> Sequence[Any]:
    """Return the classes that the graph lists, in the order of its probabilities.

    A ZipMap, which names each probability, comes before the classifier.
    """
    for node in sorted(model.graph.node, key=lambda node: node.op_type != "ZipMap"):
        if len(classes := _listed(node)) > 1:
            return classes
    raise ValueError("its graph does not list its classes, so its answers have no names")


def _listed(node: Any) -> Sequence[Any]:
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels_") and attribute.strings:
            return [text.decode() for text in attribute.strings]
        if attribute.name.startswith("classlabels_") and attribute.ints:
            return list(attribute.ints)
    return []


def unzip(model: Any) -> None:
    """Make the graph give a matrix of probabilities where it gives a map for each row."""
    from onnx import TensorProto, helper

    graph = model.graph
    maps = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    outputs = []
    for output in graph.output:
        node = maps.get(output.name)
        if node is None:
            outputs.append(output)
            continue
        graph.node.remove(node)
        if node.input[0] not in {other.name for other in graph.output}:
            shape = [None, len(_listed(node))]
            outputs.append(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, shape))
    del graph.output[:]
    graph.output.extend(outputs)


def drop_scores(model: Any, graph: OnnxClassifier, example: Sequence[float]) -> None:
    """Leave out the outputs after the labels where they are scores, not probabilities.

    They are looked at for the example and for some made-up rows. Raises ValueError where the graph
    fails on the example.
    """
    row = np.array([example], np.float64)
    graph.labels(row)
    if not graph.has_probabilities:
        return
    found = [graph.scores(row)]
    for number in (0, 1, -1, 10, -10, 100, -100):
        # It may refuse these, as numbers that it does not know.
        with suppress(ValueError):
            found.append(graph.scores(np.full_like(row, number)))
    if any(one.ndim != 2 or one.shape[1] != graph.classes for one in found):
        raise ValueError(f"its probabilities are not those of its {graph.classes} classes")
    outside = max(float(np.nanmax(np.abs(one - np.clip(one, 0, 1)), initial=0)) for one in found)
    if outside > ROUNDING:
        del model.graph.output[1:]
