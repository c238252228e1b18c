"""Versions logged with MLflow's own calls: which are served, and which are refused."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from service.models.allowlist import TRUSTED_TYPES
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.stores import with_tables

IRIS = load_iris()
FRAME = pd.DataFrame(IRIS.data, columns=IRIS.feature_names)
LABELS = IRIS.target_names[IRIS.target]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Run the service on an embedded MLflow, to which this process logs too."""
    folder = tmp_path_factory.mktemp("foreign")
    settings = settings_for(folder / "data")
    registry = MlflowRegistry("", with_tables(settings.data_dir))
    with serve(settings, registry) as client:
        client.train(dataset="iris", model_type="GaussianNB", name="ours")
        yield client


def _log(model: Any, name: str, **options: Any) -> None:
    """Log a model as a notebook would."""
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


def _listed(client: Client, name: str) -> dict[str, Any]:
    (item,) = client.get(f"/models?name={name}").json()["models"]
    return dict(item)


def _use(client: Client, name: str) -> int:
    return client.post("/use-model", json={"name": name}).status_code


def test_a_skops_model_of_trusted_types_is_listed_and_answers_as_scikit_learn(
    service: Client,
) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0))
    model.fit(FRAME, LABELS)
    signature = _signature(FRAME)
    _log(model, "notebook", skops_trusted_types=sorted(TRUSTED_TYPES), signature=signature)

    assert _listed(service, "notebook")["servable"] is True
    assert _use(service, "notebook") == 200

    rows = [dict(zip(FRAME.columns, row, strict=True)) for row in IRIS.data.tolist()]
    answered = service.predict({"instances": rows, "probabilities": True}).json()
    assert answered["predictions"] == model.predict(FRAME).tolist()
    assert np.allclose(answered["probabilities"], model.predict_proba(FRAME), atol=1e-12)
    assert service.predict(service.get("/schema").json()["example"]).status_code == 200


def test_a_skops_model_without_a_signature_gets_names_of_its_own(service: Client) -> None:
    _log(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), "nameless")

    assert _use(service, "nameless") == 200
    features = service.get("/schema").json()["features"]
    assert [feature["name"] for feature in features] == ["x0", "x1", "x2", "x3"]
    assert service.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]}).json()["predictions"] == [0]


def _log_graph(name: str, width: int) -> None:
    """Log skl2onnx's graph of a linear classifier, with words as labels and float32 inputs."""
    import mlflow.onnx
    from onnx import ModelProto, TensorProto, helper

    node = helper.make_node(
        "LinearClassifier",
        ["X"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[1.0] * width + [-1.0] * width,
        intercepts=[0.0, 0.0],
        classlabels_strings=["high", "low"],
        post_transform="SOFTMAX",
    )
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
    )
    model: ModelProto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=10,
    )
    mlflow.set_experiment("trainings")
    mlflow.onnx.log_model(
        model, name="model", registered_model_name=name, pip_requirements=["onnx"]
    )


def test_an_onnx_model_that_lists_its_classes_is_served(service: Client) -> None:
    _log_graph("graph", 1)

    assert _use(service, "graph") == 200
    answered = service.predict({"instances": [[2.0], [-2.0]], "probabilities": True}).json()
    assert answered["predictions"] == ["high", "low"]
    assert answered["classes"] == ["high", "low"]


@pytest.mark.parametrize("probabilities", [False, True])
def test_numbers_beyond_float32_never_become_a_label(service: Client, probabilities: bool) -> None:
    _log_graph("narrow", 2)
    assert _use(service, "narrow") == 200

    def refused(x: float) -> str:
        body = {"instances": [[x, x]], "probabilities": probabilities}
        response = service.predict(body)
        assert response.status_code == 400
        return str(response.json()["errors"][0]["message"])

    assert service.predict({"instances": [[1e30, 1e30]]}).json()["predictions"] == ["high"]
    assert "out of the range" in refused(3.5e38)
    assert "too large" in refused(3e38)


def test_a_pickle_is_listed_with_the_reason_and_never_loaded(
    service: Client, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    model = LogisticRegression(max_iter=500).fit(IRIS.data, LABELS)
    model.canary = _Canary(str(canary))
    _log(model, "pickled", serialization_format="pickle")

    item = _listed(service, "pickled")

    assert item["servable"] is False
    assert "pickle" in item["reason"]
    assert _use(service, "pickled") == 409
    assert not canary.exists()


class _Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (_touch, (self.path,))


def _touch(path: str) -> str:
    Path(path).touch()
    return path


def test_a_model_that_is_no_classifier_is_refused_with_the_reason(service: Client) -> None:
    _log(LinearRegression().fit(IRIS.data, IRIS.target), "regressor")

    item = _listed(service, "regressor")

    assert item["servable"] is False
    assert "not a fitted classifier" in item["reason"]
    assert _use(service, "regressor") == 409


def test_a_version_in_use_is_ours_again_afterwards(service: Client) -> None:
    assert _use(service, "ours") == 200
    assert service.get("/use-model").json()["name"] == "ours"


def test_mlflow_loads_what_the_service_registered(
    service: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.sklearn

    # The service's own process forbids it, as it never needs it.
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    trained = service.train(dataset="iris", model_type="RandomForestClassifier", name="theirs")

    model = mlflow.sklearn.load_model(f"models:/theirs/{trained['version']}")

    assert isinstance(model, Pipeline)
    example = service.get("/schema").json()["example"]
    ours = service.predict(example).json()["predictions"]
    assert model.predict(pd.DataFrame(example["instances"])).tolist() == ours


def _signature(frame: pd.DataFrame) -> Any:
    from mlflow.models import infer_signature

    return infer_signature(frame)


def test_a_pickle_is_loaded_where_the_setting_allows_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("trusting")
    settings = settings_for(folder / "data", allow_pickle=True)
    registry = MlflowRegistry("", with_tables(settings.data_dir))
    with serve(settings, registry) as client:
        client.train(dataset="iris", model_type="GaussianNB", name="ours")
        _log(LogisticRegression(max_iter=500).fit(IRIS.data, LABELS), "pickled",
             serialization_format="pickle")  # fmt: skip

        assert _use(client, "pickled") == 200
        row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
        assert client.predict(row).json()["predictions"] == ["setosa"]
