"""Versions logged with MLflow's own calls: which are served, and which are refused."""

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
from tests.support.notebook import linear_graph, listed, log_onnx, log_sklearn, signature, use
from tests.support.server import Client, serve, settings_for
from tests.support.stores import with_tables

IRIS = load_iris()
FRAME = pd.DataFrame(IRIS.data, columns=IRIS.feature_names)
LABELS = IRIS.target_names[IRIS.target]


def test_a_skops_model_of_trusted_types_is_listed_and_answers_as_scikit_learn(
    foreign_service: Client,
) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0))
    model.fit(FRAME, LABELS)
    log_sklearn(
        model, "notebook", skops_trusted_types=sorted(TRUSTED_TYPES), signature=signature(FRAME)
    )

    assert listed(foreign_service, "notebook")["servable"] is True
    assert use(foreign_service, "notebook") == 200

    rows = [dict(zip(FRAME.columns, row, strict=True)) for row in IRIS.data.tolist()]
    answered = foreign_service.predict({"instances": rows, "probabilities": True}).json()
    assert answered["predictions"] == model.predict(FRAME).tolist()
    assert np.allclose(answered["probabilities"], model.predict_proba(FRAME), atol=1e-12)
    assert (
        foreign_service.predict(foreign_service.get("/schema").json()["example"]).status_code == 200
    )


def test_a_skops_model_without_a_signature_gets_names_of_its_own(foreign_service: Client) -> None:
    log_sklearn(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), "nameless")

    assert use(foreign_service, "nameless") == 200
    features = foreign_service.get("/schema").json()["features"]
    assert [feature["name"] for feature in features] == ["x0", "x1", "x2", "x3"]
    assert foreign_service.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]}).json()["predictions"] == [
        0
    ]


def test_an_onnx_model_that_lists_its_classes_is_served(foreign_service: Client) -> None:
    log_onnx(linear_graph(1), "graph")

    assert use(foreign_service, "graph") == 200
    answered = foreign_service.predict({"instances": [[2.0], [-2.0]], "probabilities": True}).json()
    assert answered["predictions"] == ["high", "low"]
    assert answered["classes"] == ["high", "low"]


@pytest.mark.parametrize("probabilities", [False, True])
def test_numbers_beyond_float32_never_become_a_label(
    foreign_service: Client, probabilities: bool
) -> None:
    log_onnx(linear_graph(2), "narrow")
    assert use(foreign_service, "narrow") == 200

    def refused(x: float) -> str:
        body = {"instances": [[x, x]], "probabilities": probabilities}
        response = foreign_service.predict(body)
        assert response.status_code == 400
        return str(response.json()["errors"][0]["message"])

    assert foreign_service.predict({"instances": [[1e30, 1e30]]}).json()["predictions"] == ["high"]
    assert "out of the range" in refused(3.5e38)
    assert "too large" in refused(3e38)


def test_a_pickle_is_listed_with_the_reason_and_never_loaded(
    foreign_service: Client, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    model = LogisticRegression(max_iter=500).fit(IRIS.data, LABELS)
    model.canary = _Canary(str(canary))
    log_sklearn(model, "pickled", serialization_format="pickle")

    item = listed(foreign_service, "pickled")

    assert item["servable"] is False
    assert "pickle" in item["reason"]
    assert use(foreign_service, "pickled") == 409
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


def test_a_model_that_is_no_classifier_is_refused_with_the_reason(foreign_service: Client) -> None:
    log_sklearn(LinearRegression().fit(IRIS.data, IRIS.target), "regressor")

    item = listed(foreign_service, "regressor")

    assert item["servable"] is False
    assert "not a fitted classifier" in item["reason"]
    assert use(foreign_service, "regressor") == 409


def test_a_version_in_use_is_ours_again_afterwards(foreign_service: Client) -> None:
    assert use(foreign_service, "ours") == 200
    assert foreign_service.get("/use-model").json()["name"] == "ours"


def test_mlflow_loads_what_the_service_registered(
    foreign_service: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.sklearn

    # The service's own process forbids it, as it never needs it.
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    trained = foreign_service.train(
        dataset="iris", model_type="RandomForestClassifier", name="theirs"
    )

    model = mlflow.sklearn.load_model(f"models:/theirs/{trained['version']}")

    assert isinstance(model, Pipeline)
    example = foreign_service.get("/schema").json()["example"]
    ours = foreign_service.predict(example).json()["predictions"]
    assert model.predict(pd.DataFrame(example["instances"])).tolist() == ours


def test_a_pickle_is_loaded_where_the_setting_allows_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("trusting")
    settings = settings_for(folder / "data", allow_pickle=True)
    registry = MlflowRegistry("", with_tables(settings.data_dir))
    with serve(settings, registry) as client:
        client.train(dataset="iris", model_type="GaussianNB", name="ours")
        log_sklearn(LogisticRegression(max_iter=500).fit(IRIS.data, LABELS), "pickled",
             serialization_format="pickle")  # fmt: skip

        assert use(client, "pickled") == 200
        row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
        assert client.predict(row).json()["predictions"] == ["setosa"]
