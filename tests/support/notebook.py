"""Models as a notebook logs them with MLflow's own calls, into the store that is open."""

import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from tests.support.server import Client

HIGH_LOW = ("high", "low")
"""The classes of `linear_graph`: high where the sum of the numbers is above 0."""


def log_sklearn(model: Any, name: str, **options: Any) -> None:
    """Log and register a model of scikit-learn."""
    import mlflow.sklearn

    mlflow.set_experiment("trainings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=name,
            pip_requirements=["scikit-learn"],
            **options,
        )


def log_onnx(model: ModelProto, name: str, **options: Any) -> None:
    """Log and register a graph."""
    import mlflow.onnx

    mlflow.set_experiment("trainings")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.onnx.log_model(
            model, name="model", registered_model_name=name, pip_requirements=["onnx"], **options
        )


def signature(frame: pd.DataFrame) -> Any:
    """Return the signature that MLflow infers of a frame."""
    from mlflow.models import infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return infer_signature(frame)


def linear_graph(
    width: int,
    *after: NodeProto,
    outputs: Sequence[ValueInfoProto] = (),
    reads: int = TensorProto.FLOAT,
    post_transform: str = "SOFTMAX",
) -> ModelProto:
    """Return skl2onnx's graph of a linear classifier, with words as labels.

    Its probabilities are called so, unless nodes that read them and other outputs come `after`.
    """
    node = helper.make_node(
        "LinearClassifier",
        ["X"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[1.0] * width + [-1.0] * width,
        intercepts=[0.0, 0.0],
        classlabels_strings=HIGH_LOW,
        post_transform=post_transform,
    )
    given = outputs or [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])
    ]
    graph = helper.make_graph(
        [node, *after],
        "linear",
        [helper.make_tensor_value_info("X", reads, [None, width])],
        [helper.make_tensor_value_info("label", TensorProto.STRING, [None]), *given],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=10,
    )


def listed(client: Client, name: str) -> dict[str, Any]:
    """Return the only version of a model as the service lists it."""
    (item,) = client.get("/models", params={"name": name}).json()["models"]
    return dict(item)


def use(client: Client, name: str) -> int:
    """Put a model's newest version in use; return the status."""
    return client.post("/use-model", json={"name": name}).status_code
