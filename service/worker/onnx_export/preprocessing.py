"""The preprocessing of a pipeline as nodes: imputing, scaling, one column for each category."""

import numpy as np

from service.worker.onnx_export.builder import Graph
from service.worker.sklearn_models.array_preprocessing import Preparation


def emit_preparation(graph: Graph, preparation: Preparation, x: str) -> str:
    """Add what `preparation.apply` does, operation for operation, so that the bits are equal."""
    if preparation.columns is None:
        return x
    parts = []
    if preparation.columns.size:
        parts.append(_numbers(graph, preparation, x))
    if preparation.text_columns is not None and preparation.text_columns.size:
        assert preparation.text_codes is not None
        repeated = graph.columns(x, preparation.text_columns.tolist())
        ones = graph.node("Equal", repeated, graph.constant(preparation.text_codes))
        parts.append(graph.double(ones))
    return graph.beside(parts)


def _numbers(graph: Graph, preparation: Preparation, x: str) -> str:
    assert preparation.columns is not None
    scaling = preparation.scaling
    if not np.array_equal(preparation.columns, np.arange(preparation.width)):
        x = graph.columns(x, preparation.columns.tolist())
    if preparation.fill is not None:
        # A column without an imputer has NaN as its filling, so one node does for all columns.
        x = graph.node("Where", graph.node("IsNaN", x), graph.constant(preparation.fill), x)
    if scaling.standard is not None:
        mean, scale = (graph.constant(values) for values in scaling.standard)
        # Not a multiplication by 1/scale, which rounds otherwise.
        x = graph.divide(graph.subtract(x, mean), scale)
    if scaling.to_range is not None:
        factor, offset = (graph.constant(values) for values in scaling.to_range)
        x = graph.add(graph.multiply(x, factor), offset)
    if scaling.limits is not None:
        floor, ceiling = (graph.constant(values) for values in scaling.limits)
        x = graph.node("Min", graph.node("Max", x, floor), ceiling)
    return x
