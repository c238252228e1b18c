"""An ONNX graph under construction: what every family of classifiers writes its nodes with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from onnx import NodeProto, TensorProto, helper, numpy_helper

TREES_DOMAIN = "ai.onnx.ml"
OPSET, TREES_OPSET, IR = 21, 5, 10


class NotConvertible(ValueError):
    """The fitted classifier has no graph with the same answers; it is served natively."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The names of a classifier's results in the graph.

    `label` is int64 [N], an index into `classes_`; `probabilities` float64 [N, K].
    """

    label: str
    probabilities: str | None = None


class Graph:
    """Nodes and constants in the order they were added; each method returns the name of its result.

    All numbers are float64 unless a method says otherwise.
    """

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], TensorProto] = {}
        self._count = 0

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output."""
        output = self._name()
        self._nodes.append(
            helper.make_node(kind, list(inputs), [output], domain=domain, **attributes)
        )
        return output

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.float64) -> str:
        """Add a constant, or find the same one."""
        array = np.array(values, dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, self._name())
        return str(self._constants[key].name)

    def model(self, answer: Answer, features: int, classes: int) -> bytes:
        """Close the graph and give the serialised model."""
        self._nodes.append(helper.make_node("Identity", [answer.label], ["label"]))
        outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, [None])]
        if answer.probabilities is not None:
            self._nodes.append(
                helper.make_node("Identity", [answer.probabilities], ["probabilities"])
            )
            outputs.append(
                helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, classes])
            )
        graph = helper.make_graph(
            self._nodes,
            "classifier",
            [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, features])],
            outputs,
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid(TREES_DOMAIN, TREES_OPSET),
            ],
            ir_version=IR,
        )
        return bytes(model.SerializeToString())

    def double(self, x: str) -> str:
        """Cast to float64."""
        return self.node("Cast", x, to=TensorProto.DOUBLE)

    def single(self, x: str) -> str:
        """Cast to float32, rounding to nearest as numpy does."""
        return self.node("Cast", x, to=TensorProto.FLOAT)

    def integer(self, x: str) -> str:
        """Cast to int64."""
        return self.node("Cast", x, to=TensorProto.INT64)

    def add(self, x: str, y: str) -> str:
        """Return x + y."""
        return self.node("Add", x, y)

    def subtract(self, x: str, y: str) -> str:
        """Return x - y."""
        return self.node("Sub", x, y)

    def multiply(self, x: str, y: str) -> str:
        """Return x * y."""
        return self.node("Mul", x, y)

    def divide(self, x: str, y: str) -> str:
        """Return x / y."""
        return self.node("Div", x, y)

    def columns(self, x: str, places: Sequence[int]) -> str:
        """Choose columns of [N, columns]."""
        return self.node("Gather", x, self.constant(list(places), np.int64), axis=1)

    def beside(self, parts: Sequence[str]) -> str:
        """Put matrices of N rows beside one another."""
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def flat(self, x: str) -> str:
        """Make [N, 1] into [N]."""
        return self.node("Reshape", x, self.constant([-1], np.int64))

    def sum(self, x: str, *, axis: int = 1, keep: bool = True) -> str:
        """Add up along an axis, in order."""
        return self.node("ReduceSum", x, self.constant([axis], np.int64), keepdims=int(keep))

    def affine(self, x: str, weights: ArrayLike, offset: ArrayLike) -> str:
        """Return x @ weights + offset."""
        return self.add(self.node("MatMul", x, self.constant(weights)), self.constant(offset))

    def largest(self, x: str) -> str:
        """Return the place of each row's largest entry, the first of equal ones: int64 [N]."""
        return self.node("ArgMax", x, axis=1, keepdims=0)

    def side(self, x: str, comparison: str = "Greater", bound: float = 0.0) -> str:
        """Return 1 where the column [N, 1] is beyond the bound, else 0: int64 [N]."""
        return self.flat(self.integer(self.node(comparison, x, self.constant(bound))))

    def softmax(self, x: str) -> str:
        """Return the softmax of each row."""
        return self.node("Softmax", x, axis=1)

    def logistic(self, x: str) -> str:
        """Return 1 / (1 + exp(-x)).

        Not the operator Sigmoid: in float64 that is 0 below about -37 and off by 1e-8 of the value
        at -20, which shows as soon as small probabilities are divided by their sum.
        """
        one = self.constant(1.0)
        return self.divide(one, self.add(one, self.node("Exp", self.node("Neg", x))))

    def both_classes(self, p: str) -> str:
        """Return [1 - p, p] for the column p."""
        return self.beside([self.subtract(self.constant(1.0), p), p])

    def shares(self, x: str, when_zero: float) -> str:
        """Divide each row by its sum; where that is 0, every entry becomes `when_zero`."""
        total = self.sum(x)
        zero = self.node("Equal", total, self.constant(0.0))
        divided = self.divide(x, self.node("Where", zero, self.constant(1.0), total))
        return self.node("Where", zero, self.constant(when_zero), divided)

    def _name(self) -> str:
        self._count += 1
        return f"t{self._count}"
