"""The classifiers that are measured, each quick to fit, with their preprocessing."""

from dataclasses import dataclass
from typing import Any, Literal

from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

Scale = Literal["none", "standard", "range"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An unfitted classifier and what it needs."""

    classifier: Any
    scale: Scale = "standard"
    impute: bool = True
    two_classes: bool = False
    """Whether it is for two classes only."""


def convertible() -> dict[str, Entry]:
    """Return the classifiers that become graphs."""
    logistic = LogisticRegression(max_iter=500)
    return {
        "LogisticRegression": Entry(logistic),
        "LogisticRegression, to a range": Entry(logistic, "range"),
        "LogisticRegressionCV": Entry(
            LogisticRegressionCV(
                Cs=2,
                cv=2,
                max_iter=200,
                l1_ratios=(0,),
                use_legacy_attributes=False,
                scoring="neg_log_loss",
            )
        ),
        "RidgeClassifier": Entry(RidgeClassifier()),
        "RidgeClassifierCV": Entry(RidgeClassifierCV()),
        "SGDClassifier(hinge)": Entry(SGDClassifier(random_state=0)),
        "SGDClassifier(log_loss)": Entry(SGDClassifier(loss="log_loss", random_state=0)),
        "SGDClassifier(modified_huber)": Entry(
            SGDClassifier(loss="modified_huber", random_state=0)
        ),
        "Perceptron": Entry(Perceptron(random_state=0)),
        "Perceptron, unscaled": Entry(Perceptron(random_state=0), "none"),
        "LinearSVC": Entry(LinearSVC(random_state=0)),
        "SVC(rbf)": Entry(SVC()),
        "SVC(linear)": Entry(SVC(kernel="linear")),
        "SVC(poly)": Entry(SVC(kernel="poly")),
        "SVC(sigmoid)": Entry(SVC(kernel="sigmoid")),
        "SVC(break_ties)": Entry(SVC(break_ties=True)),
        "NuSVC": Entry(NuSVC(nu=0.1)),
        "LinearDiscriminantAnalysis": Entry(LinearDiscriminantAnalysis()),
        "QuadraticDiscriminantAnalysis": Entry(QuadraticDiscriminantAnalysis(reg_param=0.1)),
        "GaussianNB": Entry(GaussianNB()),
        "BernoulliNB": Entry(BernoulliNB()),
        "MultinomialNB": Entry(MultinomialNB(), "range"),
        "ComplementNB": Entry(ComplementNB(), "range"),
        "MLPClassifier": Entry(MLPClassifier((20,), max_iter=1000, tol=1e-2, random_state=0)),
        "MLPClassifier(tanh)": Entry(
            MLPClassifier((9, 7), activation="tanh", max_iter=1000, tol=1e-2, random_state=0)
        ),
        "MLPClassifier(logistic)": Entry(
            MLPClassifier((9,), activation="logistic", max_iter=1000, tol=1e-2, random_state=0)
        ),
        "DecisionTreeClassifier": Entry(DecisionTreeClassifier(random_state=0), "none"),
        "DecisionTreeClassifier(depth 3)": Entry(
            DecisionTreeClassifier(max_depth=3, random_state=0), "none"
        ),
        "ExtraTreeClassifier": Entry(ExtraTreeClassifier(random_state=0), "none"),
        "RandomForestClassifier": Entry(RandomForestClassifier(50, random_state=0), "none"),
        "RandomForestClassifier(depth 4)": Entry(
            RandomForestClassifier(50, max_depth=4, random_state=0), "none"
        ),
        "RandomForestClassifier, missing": Entry(
            RandomForestClassifier(30, max_depth=6, random_state=0), "none", impute=False
        ),
        "ExtraTreesClassifier": Entry(
            ExtraTreesClassifier(30, min_samples_leaf=5, random_state=0), "none"
        ),
        "GradientBoostingClassifier": Entry(
            GradientBoostingClassifier(n_estimators=30, random_state=0), "none"
        ),
        "GradientBoostingClassifier(exponential)": Entry(
            GradientBoostingClassifier(n_estimators=30, loss="exponential", random_state=0),
            "none",
            two_classes=True,
        ),
        "HistGradientBoostingClassifier": Entry(
            HistGradientBoostingClassifier(max_iter=20, random_state=0), "none"
        ),
        "HistGradientBoostingClassifier, missing": Entry(
            HistGradientBoostingClassifier(max_iter=20, random_state=0), "none", impute=False
        ),
        "AdaBoostClassifier": Entry(AdaBoostClassifier(random_state=0), "none"),
        "AdaBoostClassifier(depth 3)": Entry(
            AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), random_state=0), "none"
        ),
        "BaggingClassifier": Entry(BaggingClassifier(random_state=0), "none"),
        "BaggingClassifier(half the columns)": Entry(
            BaggingClassifier(
                DecisionTreeClassifier(max_depth=5), 20, max_features=0.5, random_state=0
            ),
            "none",
        ),
        "CalibratedClassifierCV": Entry(CalibratedClassifierCV(cv=3)),
        "CalibratedClassifierCV(in one)": Entry(CalibratedClassifierCV(ensemble=False, cv=3)),
        "CalibratedClassifierCV(isotonic)": Entry(CalibratedClassifierCV(method="isotonic", cv=3)),
    }


def native() -> dict[str, Entry]:
    """Return the classifiers that scikit-learn serves itself."""
    return {
        "KNeighborsClassifier": Entry(KNeighborsClassifier()),
        "KNeighborsClassifier(distance)": Entry(KNeighborsClassifier(weights="distance")),
        "RadiusNeighborsClassifier": Entry(
            RadiusNeighborsClassifier(radius=2.0, outlier_label="most_frequent")
        ),
        "NearestCentroid": Entry(NearestCentroid(), "none"),
        "GaussianProcessClassifier": Entry(GaussianProcessClassifier(max_iter_predict=20)),
        "LabelPropagation": Entry(LabelPropagation(max_iter=3000)),
        "LabelSpreading": Entry(LabelSpreading()),
    }
