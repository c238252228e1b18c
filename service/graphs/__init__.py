"""A fitted pipeline as an ONNX graph in float64 that answers as scikit-learn does.

The graph reads `X`, float64 [N, features] as `service.schema` describes it, and gives `label`,
int64 [N], an index into `classes_`, and `probabilities`, float64 [N, K], where there are any.
"""

from collections.abc import Sequence

from sklearn import (
    calibration,
    discriminant_analysis,
    ensemble,
    linear_model,
    model_selection,
    multiclass,
    naive_bayes,
    neural_network,
    semi_supervised,
    svm,
    tree,
)
from sklearn.pipeline import Pipeline

from service.graphs.bayes import emit_bernoulli, emit_counts, emit_gaussian, emit_quadratic
from service.graphs.boosting import (
    emit_adaboost,
    emit_gradient_boosting,
    emit_histogram_boosting,
)
from service.graphs.builder import Emitter, Graph, NotConvertible
from service.graphs.calibration import emit_calibrated
from service.graphs.columns import emit_preparation
from service.graphs.linear import emit_linear, emit_logistic, emit_sgd
from service.graphs.meta import (
    emit_bagging,
    emit_one_vs_rest,
    emit_self_training,
    emit_stacking,
    emit_threshold,
    emit_voting,
)
from service.graphs.neural import emit_perceptron
from service.graphs.svm import emit_svc
from service.graphs.trees import emit_forest, emit_tree
from service.preparation import Preparation

__all__ = ["EMITTERS", "NotConvertible", "convert"]

EMITTERS: dict[type, Emitter] = {
    linear_model.LogisticRegression: emit_logistic,
    linear_model.LogisticRegressionCV: emit_logistic,
    linear_model.RidgeClassifier: emit_linear,
    linear_model.RidgeClassifierCV: emit_linear,
    linear_model.SGDClassifier: emit_sgd,
    linear_model.Perceptron: emit_linear,
    linear_model.PassiveAggressiveClassifier: emit_linear,
    svm.LinearSVC: emit_linear,
    svm.SVC: emit_svc,
    svm.NuSVC: emit_svc,
    discriminant_analysis.LinearDiscriminantAnalysis: emit_logistic,
    discriminant_analysis.QuadraticDiscriminantAnalysis: emit_quadratic,
    naive_bayes.GaussianNB: emit_gaussian,
    naive_bayes.BernoulliNB: emit_bernoulli,
    naive_bayes.MultinomialNB: emit_counts,
    naive_bayes.ComplementNB: emit_counts,
    neural_network.MLPClassifier: emit_perceptron,
    tree.DecisionTreeClassifier: emit_tree,
    tree.ExtraTreeClassifier: emit_tree,
    ensemble.RandomForestClassifier: emit_forest,
    ensemble.ExtraTreesClassifier: emit_forest,
    ensemble.GradientBoostingClassifier: emit_gradient_boosting,
    ensemble.HistGradientBoostingClassifier: emit_histogram_boosting,
    ensemble.AdaBoostClassifier: emit_adaboost,
    ensemble.BaggingClassifier: emit_bagging,
    ensemble.VotingClassifier: emit_voting,
    ensemble.StackingClassifier: emit_stacking,
    calibration.CalibratedClassifierCV: emit_calibrated,
    multiclass.OneVsRestClassifier: emit_one_vs_rest,
    model_selection.TunedThresholdClassifierCV: emit_threshold,
    semi_supervised.SelfTrainingClassifier: emit_self_training,
}


def convert(pipeline: Pipeline, names: Sequence[str]) -> bytes:
    """Give the serialised ONNX model of a fitted pipeline whose features are `names`, in order.

    Raises NotConvertible for a classifier that is served natively, and ValueError for
    preprocessing that nothing here can repeat.
    """
    preparation = Preparation.of(pipeline, names)
    classifier = pipeline["classify"]
    graph = Graph(EMITTERS)
    answer = graph.classify(classifier, emit_preparation(graph, preparation, "X"))
    if hasattr(classifier, "predict_proba") != (answer.probabilities is not None):
        raise NotConvertible("its probabilities have no graph")
    return graph.model(answer, len(names), len(classifier.classes_))
