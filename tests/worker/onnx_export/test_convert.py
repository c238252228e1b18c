import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from service.models.onnx_classifier import OnnxClassifier, load_onnx
from service.worker.learning.classifiers import NAMES
from service.worker.onnx_export.builder import NotConvertible
from service.worker.onnx_export.convert import EMITTERS, convert
from service.worker.onnx_export.parity import check
from tests.support.pipelines import (
    DataSet,
    breast_cancer,
    fit,
    hard_rows,
    iris,
    magnitudes,
    matrix,
    mixed,
)
from tests.support.zoo import convertible, native

SETS = {data.name: data for data in (iris(), breast_cancer(), mixed(), magnitudes())}
ENTRIES = convertible()
CASES = [
    (data, name)
    for data in SETS
    for name, entry in ENTRIES.items()
    if not entry.two_classes or data in ("breast_cancer", "magnitudes")
]


def fitted(data: DataSet, name: str) -> Pipeline:
    entry = {**ENTRIES, **native()}[name]
    return fit(data, entry.classifier, scale=entry.scale, impute=entry.impute)


@pytest.mark.parametrize(("data_set", "name"), CASES)
def test_the_graph_answers_as_the_pipeline_does(data_set: str, name: str) -> None:
    data = SETS[data_set]
    pipeline = fitted(data, name)
    rows = hard_rows(data, pipeline, 1000)
    X = matrix(pipeline, rows)
    model = convert(pipeline, data.names)
    parity = check(model, pipeline, rows, X)
    assert (parity.rows, parity.differing) == (1000, 0)
    assert parity.largest_difference <= (0.0 if parity.exact else 1e-9)
    assert parity.agrees
    # With unscaled magnitudes a perceptron gives only one answer.
    classes = len(np.unique(load_onnx(model).labels(X)))
    assert classes > 1 or name == "Perceptron, unscaled"


@pytest.mark.parametrize("name", ["LogisticRegression", "SVC(rbf)", "RandomForestClassifier"])
def test_a_row_alone_gets_the_label_it_gets_among_others(name: str) -> None:
    data = SETS["mixed"]
    pipeline = fitted(data, name)
    X = matrix(pipeline, hard_rows(data, pipeline, 200))
    graph = OnnxClassifier(convert(pipeline, data.names))
    alone = [int(graph.labels(X[place : place + 1])[0]) for place in range(len(X))]
    assert alone == graph.labels(X).tolist()


def test_exact_ties_of_a_forest_go_to_the_class_that_scikit_learn_gives_them() -> None:
    random = np.random.default_rng(0)
    data = magnitudes(800)
    y = random.integers(0, 2, 800)
    data = DataSet("noise", data.frame.fillna(0.0), y)
    pipeline = fit(data, RandomForestClassifier(50, max_depth=3, random_state=0))
    rows = hard_rows(data, pipeline, 5000)
    unlimited = fit(data, RandomForestClassifier(50, random_state=0))
    ties = 0
    for each in (pipeline, unlimited):
        chances = each.predict_proba(rows)
        ties += int((np.abs(chances[:, 0] - 0.5) < 1e-9).sum())
        X = matrix(each, rows)
        assert check(convert(each, data.names), each, rows, X).agrees
    assert ties > 100


def test_a_tree_of_one_leaf_is_converted() -> None:
    data = SETS["iris"]
    pipeline = fit(data, DecisionTreeClassifier(min_samples_leaf=100))
    assert pipeline["classify"].get_n_leaves() == 1
    X = data.frame.to_numpy()
    assert check(convert(pipeline, data.names), pipeline, data.frame, X).agrees


def test_a_pipeline_without_preprocessing_is_converted() -> None:
    data = SETS["iris"]
    steps = [("prepare", "passthrough"), ("classify", GaussianNB())]
    pipeline = Pipeline(steps).fit(data.frame, data.y)
    X = data.frame.to_numpy()
    assert check(convert(pipeline, data.names), pipeline, data.frame, X).agrees


def test_the_graph_is_of_the_versions_and_types_that_are_promised() -> None:
    pipeline = fitted(SETS["mixed"], "RandomForestClassifier")
    model = onnx.ModelProto.FromString(convert(pipeline, SETS["mixed"].names))
    assert model.ir_version == 10
    assert {o.domain: o.version for o in model.opset_import} == {"": 21, "ai.onnx.ml": 5}
    graph = model.graph
    assert [(i.name, i.type.tensor_type.elem_type) for i in graph.input] == [("X", 11)]
    assert graph.input[0].type.tensor_type.shape.dim[1].dim_value == 8
    kinds = [(o.name, o.type.tensor_type.elem_type) for o in graph.output]
    assert kinds == [("label", 7), ("probabilities", 11)]
    onnx.checker.check_model(model, full_check=True)


def test_a_classifier_without_probabilities_gives_a_graph_without() -> None:
    pipeline = fitted(SETS["iris"], "LinearSVC")
    graph = load_onnx(convert(pipeline, SETS["iris"].names))
    assert not graph.has_probabilities
    with pytest.raises(ValueError, match="no probabilities"):
        graph.labels_and_probabilities(np.zeros((1, 4)))


@pytest.mark.parametrize("name", native())
def test_a_pipeline_without_a_graph_says_so(name: str) -> None:
    pipeline = fitted(SETS["iris"], name)
    with pytest.raises(NotConvertible, match="has no graph") as caught:
        convert(pipeline, SETS["iris"].names)
    assert type(pipeline["classify"]).__name__ in str(caught.value)


def test_a_calibration_by_temperature_is_left_native() -> None:
    data = SETS["breast_cancer"]
    pipeline = fit(data, CalibratedClassifierCV(method="temperature", cv=3), scale="standard")
    with pytest.raises(NotConvertible, match="temperature"):
        convert(pipeline, data.names)


def test_a_calibration_whose_steps_are_steep_is_left_native() -> None:
    random = np.random.default_rng(0)
    numbers = random.integers(0, 2, 200) + random.normal(scale=1e-8, size=200)
    data = DataSet("steps", pd.DataFrame({"x": numbers}), random.integers(0, 2, 200))
    pipeline = fit(data, CalibratedClassifierCV(method="isotonic", cv=3))
    with pytest.raises(NotConvertible, match="too steep"):
        convert(pipeline, data.names)


def test_a_class_derived_from_a_known_one_is_left_native() -> None:
    class Other(LogisticRegression):  # type: ignore[misc]
        pass

    pipeline = fit(SETS["iris"], Other(max_iter=500))
    with pytest.raises(NotConvertible, match="Other"):
        convert(pipeline, SETS["iris"].names)


def test_every_emitter_is_compared_and_belongs_to_a_classifier_that_can_be_trained() -> None:
    compared = {type(entry.classifier).__name__ for entry in ENTRIES.values()}

    assert {kind.__name__ for kind in EMITTERS} <= compared & set(NAMES)
