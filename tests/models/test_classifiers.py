import io
import pickle
import subprocess
import sys
import warnings
import zipfile
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from service.common.errors import UntrustedArtifact
from service.models.classifier import Classifier, replay
from service.models.onnx_classifier import OnnxClassifier, load_onnx
from service.worker.onnx_export.convert import convert
from service.worker.onnx_export.parity import made_up_rows
from service.worker.sklearn_models.array_preprocessing import Preparation
from service.worker.sklearn_models.classifier import NativeClassifier, load_native
from service.worker.sklearn_models.tree_checks import has_sound_trees
from tests.support.pipelines import (
    breast_cancer,
    fit,
    hard_rows,
    iris,
    matrix,
    mixed,
    with_other_weight,
)
from tests.support.zoo import convertible, native

IRIS = iris()
X = IRIS.frame.to_numpy()


def model_of(classifier: Any) -> bytes:
    return convert(fit(IRIS, classifier), IRIS.names)


FOREST = model_of(RandomForestClassifier(20, max_depth=3, random_state=0))
LOGISTIC = model_of(LogisticRegression(max_iter=500))


# What the classifiers return.


@pytest.mark.parametrize("model", [FOREST, LOGISTIC])
def test_a_bound_run_answers_as_an_ordinary_one(model: bytes) -> None:
    graph = load_onnx(model)
    bound = graph.bind(3, probabilities=True)
    assert bound.probabilities is not None
    for start in range(0, 150, 3):
        bound.inputs[:] = X[start : start + 3]
        bound.run()
        labels, probabilities = graph.labels_and_probabilities(X[start : start + 3])
        assert (bound.labels == labels).all()
        assert (bound.probabilities == probabilities).all()


def test_two_bound_runs_do_not_share_their_arrays() -> None:
    graph = load_onnx(FOREST)
    first, second = graph.bind(1), graph.bind(1)
    first.inputs[0], second.inputs[0] = X[0], X[149]
    first.run()
    second.run()
    assert (first.labels[0], second.labels[0]) == (0, 2)


def test_no_probabilities_are_bound_where_there_are_none() -> None:
    graph = load_onnx(convert(fit(IRIS, convertible()["LinearSVC"].classifier), IRIS.names))
    assert graph.bind(1).probabilities is None
    with pytest.raises(ValueError, match="no probabilities"):
        graph.bind(1, probabilities=True)


NATIVE = {**convertible(), **native()}


@pytest.mark.parametrize("name", NATIVE)
def test_a_stored_pipeline_answers_as_the_one_that_was_stored(name: str) -> None:
    entry = NATIVE[name]
    data = breast_cancer() if entry.two_classes or name == "NearestCentroid" else mixed()
    pipeline = fit(data, entry.classifier, scale=entry.scale, impute=entry.impute)
    rows = hard_rows(data, pipeline, 300)
    loaded: Classifier = load_native(skops.io.dumps(pipeline), data.names)
    M = matrix(pipeline, rows)
    classes = pipeline["classify"].classes_
    with np.errstate(invalid="ignore"):  # Label propagation divides zero by zero far from its data.
        expected = pipeline.predict(rows)
        chances: Any = pipeline.predict_proba(rows) if loaded.has_probabilities else None
    assert (classes[loaded.labels(M)] == expected).all()
    assert loaded.has_probabilities == hasattr(pipeline, "predict_proba")
    if loaded.has_probabilities:
        labels, probabilities = loaded.labels_and_probabilities(M)
        assert labels.dtype == np.int64
        assert probabilities.dtype == np.float64
        assert (classes[labels] == expected).all()
        assert np.allclose(probabilities, chances, rtol=0, atol=1e-12, equal_nan=True)


def test_a_native_classifier_uses_one_job_everywhere_and_leaves_the_pipeline_alone() -> None:
    forest = RandomForestClassifier(4, n_jobs=2, random_state=0)
    voting = VotingClassifier([("a", forest)], voting="soft", n_jobs=2)
    steps = [("prepare", "passthrough"), ("classify", voting)]
    pipeline = Pipeline(steps).fit(IRIS.frame, IRIS.y)
    loaded = NativeClassifier(pipeline, Preparation.from_pipeline(pipeline, IRIS.names))
    inner = loaded.classifier
    assert [inner.n_jobs, inner.estimators_[0].n_jobs] == [1, 1]
    # Fitted on a frame, it would warn about a matrix, and the tests treat warnings as errors.
    assert (voting.classes_[loaded.labels(X)] == pipeline.predict(IRIS.frame)).all()
    assert [voting.n_jobs, voting.estimators_[0].n_jobs] == [2, 2]
    assert list(voting.feature_names_in_) == IRIS.names


def test_an_outlier_of_no_class_is_an_error_and_no_label() -> None:
    from sklearn.neighbors import RadiusNeighborsClassifier

    data = mixed()
    y = np.unique(data.y, return_inverse=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = fit(
            type(data)("numbers", data.frame, y, data.booleans),
            RadiusNeighborsClassifier(radius=1e-9, outlier_label=7),
        )
        loaded = NativeClassifier(pipeline, Preparation.from_pipeline(pipeline, data.names))
        with pytest.raises(ValueError, match="none of its classes"):
            loaded.labels(matrix(pipeline, data.frame) + 0.1)


def test_serving_a_graph_imports_no_scikit_learn() -> None:
    code = (
        "import sys; from service.models.onnx_classifier import load_onnx; "
        "g = load_onnx(sys.stdin.buffer.read()); g.bind(1).run(); "
        "print([m for m in ('sklearn', 'skops', 'scipy', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], input=FOREST, capture_output=True)
    assert run.stdout.decode().strip() == "[]", run.stderr.decode()


# Graphs from other tools.


def foreign(labels: list[str] | None, real: int = TensorProto.FLOAT) -> bytes:
    """Return the graph that skl2onnx makes of a linear classifier, without its ZipMap."""
    named: dict[str, Any] = (
        {"classlabels_strings": labels} if labels else {"classlabels_ints": [0, 1]}
    )
    kind = TensorProto.STRING if labels else TensorProto.INT64
    node = helper.make_node(
        "LinearClassifier",
        ["in"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=[-1.0, 0.0, 1.0, 0.0],
        intercepts=[0.0, 0.0],
        multi_class=1,
        post_transform="SOFTMAX",
        **named,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("in", real, [None, 2])],
        [
            helper.make_tensor_value_info("label", kind, [None]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
        ],
    )
    return saved(graph)


def saved(graph: Any, **more: Any) -> bytes:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, **more)
    return bytes(model.SerializeToString())


def test_a_graph_of_another_maker_answers_with_indexes() -> None:
    rows = np.array([[3.0, 0.0], [-3.0, 0.0]])
    for data, classes in ((foreign(None), None), (foreign(["no", "yes"]), ["no", "yes"])):
        graph = load_onnx(data, classes)
        labels, probabilities = graph.labels_and_probabilities(rows)
        assert labels.tolist() == [1, 0]
        assert probabilities.dtype == np.float64
        assert probabilities[0, 1] > 0.9


def test_a_graph_that_answers_in_unknown_words_is_refused() -> None:
    with pytest.raises(ValueError, match="classes are not known"):
        load_onnx(foreign(["no", "yes"]))
    with pytest.raises(ValueError, match="none of the classes"):
        load_onnx(foreign(["no", "yes"]), ["nein", "ja"]).labels(np.zeros((1, 2)))


# What is refused.


def parsed() -> Any:
    return onnx.ModelProto.FromString(FOREST)


def test_an_unknown_operator_is_refused() -> None:
    model = parsed()
    model.graph.node[0].op_type = "Loop"
    with pytest.raises(UntrustedArtifact, match="operator Loop"):
        load_onnx(model.SerializeToString())


def test_an_unknown_domain_is_refused() -> None:
    model = parsed()
    model.graph.node[0].domain = "com.example"
    with pytest.raises(UntrustedArtifact, match=r"com\.example\."):
        load_onnx(model.SerializeToString())
    model = parsed()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(UntrustedArtifact, match=r"com\.microsoft"):
        load_onnx(model.SerializeToString())


@pytest.mark.parametrize("where", ["constant", "attribute"])
def test_constants_in_other_files_are_refused(where: str) -> None:
    model = parsed()
    if where == "constant":
        tensor = model.graph.initializer[0]
    else:
        tensor = next(a.t for n in model.graph.node for a in n.attribute if a.HasField("t"))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(UntrustedArtifact, match="other files"):
        load_onnx(model.SerializeToString())


def test_functions_and_graphs_within_graphs_are_refused() -> None:
    model = parsed()
    model.functions.append(helper.make_function("d", "Abs", ["a"], ["b"], [], []))
    with pytest.raises(UntrustedArtifact, match="functions"):
        load_onnx(model.SerializeToString())
    model = parsed()
    attribute = helper.make_attribute("body", helper.make_graph([], "inner", [], []))
    model.graph.node[0].attribute.append(attribute)
    with pytest.raises(UntrustedArtifact, match="holds a graph"):
        load_onnx(model.SerializeToString())


def test_a_graph_over_the_limit_is_refused() -> None:
    load_onnx(FOREST, limit=len(FOREST))
    with pytest.raises(UntrustedArtifact, match="more than"):
        load_onnx(FOREST, limit=len(FOREST) - 1)


@pytest.mark.parametrize("data", [b"", b"nothing of the sort", pickle.dumps([1]), FOREST[:-40]])
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with pytest.raises(UntrustedArtifact, match="no ONNX model"):
        load_onnx(data)


def test_a_graph_that_does_not_run_is_an_error_with_a_sentence() -> None:
    model = parsed()
    model.graph.node[0].input[0] = "nobody"
    with pytest.raises(ValueError, match="ONNX Runtime does not load"):
        load_onnx(model.SerializeToString())


def stored(classifier: Any = None) -> bytes:
    classifier = classifier or DecisionTreeClassifier(max_depth=3, random_state=0)
    return bytes(skops.io.dumps(fit(IRIS, classifier)))


def test_a_pickle_is_refused() -> None:
    data = pickle.dumps(fit(IRIS, DecisionTreeClassifier()))
    with pytest.raises(UntrustedArtifact, match="not a skops file"):
        load_native(data, IRIS.names)


def test_a_pickle_inside_a_skops_file_is_never_run() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit('unpickled')",)

    array = np.array([Bomb()], object)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    source = zipfile.ZipFile(io.BytesIO(stored()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            replaced = name.endswith(".npy")
            target.writestr(name, buffer.getvalue() if replaced else source.read(name))
    with pytest.raises(UntrustedArtifact, match="cannot be read"):
        load_native(out.getvalue(), IRIS.names)


def test_a_type_that_is_not_listed_is_refused_before_anything_is_built() -> None:
    import os

    steps = [("prepare", FunctionTransformer(os.system)), ("classify", DecisionTreeClassifier())]
    with pytest.raises(UntrustedArtifact, match=r"not allowed: posix\.system"):
        load_native(skops.io.dumps(Pipeline(steps)), IRIS.names)


def test_a_skops_file_of_something_else_is_refused() -> None:
    with pytest.raises(UntrustedArtifact, match="not a pipeline"):
        load_native(skops.io.dumps(DecisionTreeClassifier()), IRIS.names)


def test_a_file_that_unpacks_to_too_much_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("schema.json", b"0" * 10_000_000)
    assert len(out.getvalue()) < 20_000
    with pytest.raises(UntrustedArtifact, match="unpacks to more"):
        load_native(out.getvalue(), IRIS.names, limit=9_999_999)


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../b", "c:\\x"])
def test_a_file_that_names_places_outside_itself_is_refused(name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr(name, b"")
    with pytest.raises(UntrustedArtifact, match="outside itself"):
        load_native(out.getvalue(), IRIS.names)


def crafted(tree: Any, node: int, **fields: int) -> None:
    """Change fields of a fitted tree in memory, as a crafted file would."""
    nodes = tree.__getstate__()["nodes"].copy()
    for field, value in fields.items():
        nodes[field][node] = value
    state = {**tree.__getstate__(), "nodes": nodes}
    tree.__setstate__(state)


@pytest.mark.parametrize(
    "fields",
    [
        {"left_child": 10**6},
        {"right_child": 10**6},
        {"left_child": 0},
        {"left_child": -7},
        {"feature": 4},
        {"feature": -3},
    ],
)
@pytest.mark.parametrize(
    "classifier",
    [DecisionTreeClassifier(max_depth=3), ExtraTreesClassifier(3, max_depth=3)],
    ids=["tree", "forest"],
)
def test_a_tree_that_leads_outside_itself_is_refused(
    classifier: Any, fields: dict[str, int]
) -> None:
    pipeline = fit(IRIS, classifier)
    load_native(skops.io.dumps(pipeline), IRIS.names)
    tree = getattr(classifier, "estimators_", [classifier])[-1].tree_
    crafted(tree, 0, **fields)
    with pytest.raises(UntrustedArtifact, match="leads outside itself"):
        load_native(skops.io.dumps(pipeline), IRIS.names)


def test_a_histogram_tree_that_leads_outside_itself_is_refused() -> None:
    classifier = HistGradientBoostingClassifier(max_iter=2)
    pipeline = fit(IRIS, classifier)
    load_native(skops.io.dumps(pipeline), IRIS.names)
    classifier._predictors[0][0].nodes["right"][0] = 10**6
    with pytest.raises(UntrustedArtifact, match="leads outside itself"):
        load_native(skops.io.dumps(pipeline), IRIS.names)


def test_a_search_tree_that_leads_outside_itself_is_refused() -> None:
    classifier = KNeighborsClassifier(algorithm="kd_tree", leaf_size=5)
    fit(IRIS, classifier)
    assert has_sound_trees(classifier)
    state = list(classifier._tree.__getstate__())
    state[1] = state[1].copy()
    state[1][0] = 10**6
    classifier._tree.__setstate__(tuple(state))
    assert not has_sound_trees(classifier)


# Golden rows.

GOLDEN = made_up_rows(X, IRIS.features())


@pytest.mark.parametrize("model", [FOREST, LOGISTIC])
def test_golden_rows_pass_where_nothing_has_changed(model: bytes) -> None:
    graph = load_onnx(model)
    labels, probabilities = graph.labels_and_probabilities(GOLDEN)
    replay(graph, GOLDEN, labels, probabilities)
    replay(graph, GOLDEN, labels, None)


def test_golden_rows_catch_a_changed_weight() -> None:
    labels, probabilities = load_onnx(LOGISTIC).labels_and_probabilities(GOLDEN)
    slightly = OnnxClassifier(with_other_weight(LOGISTIC, 1e-4))
    with pytest.raises(ValueError, match="probabilities differ by up to"):
        replay(slightly, GOLDEN, labels, probabilities)
    replay(slightly, GOLDEN, labels, None)
    with pytest.raises(ValueError, match="of 256 golden rows get another label"):
        replay(OnnxClassifier(with_other_weight(LOGISTIC, 5.0)), GOLDEN, labels, None)


def test_golden_rows_catch_a_probability_that_is_none() -> None:
    graph = load_onnx(LOGISTIC)
    labels, probabilities = graph.labels_and_probabilities(GOLDEN)
    probabilities[3, 1] = np.nan
    with pytest.raises(ValueError, match="probabilities differ"):
        replay(graph, GOLDEN, labels, probabilities)


def test_golden_probabilities_need_a_classifier_that_gives_them() -> None:
    graph = load_onnx(convert(fit(IRIS, convertible()["LinearSVC"].classifier), IRIS.names))
    with pytest.raises(ValueError, match="gives none"):
        replay(graph, GOLDEN, graph.labels(GOLDEN), np.zeros((256, 3)))
