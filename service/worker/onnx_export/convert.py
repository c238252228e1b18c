"""A fitted pipeline as an ONNX graph in float64 that answers as scikit-learn does.

The graph reads `X`, float64 [N, features] as `service.schema` describes it, and gives `label`,
int64 [N], an index into `classes_`, and `probabilities`, float64 [N, K], where there are any.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from service.worker.onnx_export.bayes import (
    emit_bernoulli,
    emit_counts,
    emit_gaussian,
    emit_quadratic,
)
from service.worker.onnx_export.boosting import (
    emit_adaboost,
    emit_gradient_boosting,
    emit_histogram_boosting,
)
from service.worker.onnx_export.builder import Answer, Graph, NotConvertible
from service.worker.onnx_export.calibration import emit_calibrated
from service.worker.onnx_export.linear import emit_linear, emit_logistic, emit_sgd
from service.worker.onnx_export.mlp import emit_perceptron
from service.worker.onnx_export.preprocessing import emit_preparation
from service.worker.onnx_export.svm import emit_svc
from service.worker.onnx_export.trees import emit_bagging, emit_forest, emit_tree
from service.worker.sklearn_models.array_preprocessing import Preparation

EMITTERS: dict[type, Callable[[Graph, Any, str], Answer]] = {
    LogisticRegression: emit_logistic,
    LogisticRegressionCV: emit_logistic,
    RidgeClassifier: emit_linear,
    RidgeClassifierCV: emit_linear,
    SGDClassifier: emit_sgd,
    Perceptron: emit_linear,
    LinearSVC: emit_linear,
    SVC: emit_svc,
    NuSVC: emit_svc,
    LinearDiscriminantAnalysis: emit_logistic,
    QuadraticDiscriminantAnalysis: emit_quadratic,
    GaussianNB: emit_gaussian,
    BernoulliNB: emit_bernoulli,
    MultinomialNB: emit_counts,
    ComplementNB: emit_counts,
    MLPClassifier: emit_perceptron,
    DecisionTreeClassifier: emit_tree,
    ExtraTreeClassifier: emit_tree,
    RandomForestClassifier: emit_forest,
    ExtraTreesClassifier: emit_forest,
    GradientBoostingClassifier: emit_gradient_boosting,
    HistGradientBoostingClassifier: emit_histogram_boosting,
    AdaBoostClassifier: emit_adaboost,
    BaggingClassifier: emit_bagging,
    CalibratedClassifierCV: emit_calibrated,
}


def convert(pipeline: Pipeline, names: Sequence[str]) -> bytes:
    """Return the serialised ONNX model of a fitted pipeline whose features are `names`, in order.

    Raises NotConvertible for a classifier that is served natively, and ValueError for
    preprocessing that nothing here can repeat.
    """
    preparation = Preparation.from_pipeline(pipeline, names)
    classifier = pipeline["classify"]
    emit = EMITTERS.get(type(classifier))
    if emit is None:
        raise NotConvertible(f"{type(classifier).__name__} has no graph")
    graph = Graph()
    answer = emit(graph, classifier, emit_preparation(graph, preparation, "X"))
    if hasattr(classifier, "predict_proba") != (answer.probabilities is not None):
        raise NotConvertible("its probabilities have no graph")
    return graph.model(answer, len(names), len(classifier.classes_))
