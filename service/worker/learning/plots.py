"""Pictures of how good a classifier is on the held-out rows, as PNG files."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

from service.common.domain import spelling
from service.common.errors import clip
from service.worker.learning.curves import Calibration, Curve, pooled
from service.worker.learning.fitting import Fitted

_MAX_NUMBERS = 15
_MAX_TICKS = 30
_DPI = 110


def pictures(fitted: Fitted, curves: Sequence[Curve]) -> dict[str, bytes]:
    """Draw the confusion matrix and, where there are any, the ROC and calibration curves.

    The calibration of more than three classes is drawn for all together.
    """
    names = [_name(label) for label in fitted.schema.classes]
    drawn = {"confusion_matrix.png": _png(_confusion_matrix(fitted.confusion, names))}
    if curves:
        named = [(names[curve.place], curve) for curve in curves]
        drawn["roc_curve.png"] = _png(_roc(named, fitted.metrics.get("roc_auc")))
        # More curves than three would be a tangle.
        shown = (
            [(name, curve.calibration) for name, curve in named]
            if len(curves) <= 3
            else [("all classes", pooled(curves))]
        )
        drawn["calibration_curve.png"] = _png(_calibration(shown))
    return drawn


def _name(label: object) -> str:
    return clip(" ".join(spelling(label).split()) or "(empty)", 24)


def _axes(size: float) -> Axes:
    figure = Figure(figsize=(size, size), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def _png(axes: Axes) -> bytes:
    figure = axes.get_figure(root=True)
    assert figure is not None
    texts = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    if (legend := axes.get_legend()) is not None:
        texts += legend.get_texts()
    for text in texts:
        text.set_parse_math(False)  # a label may hold any character
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; that is not a reason to fail.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(
            sink, format="png", bbox_inches="tight", pad_inches=0.15, metadata={"Software": None}
        )
    return sink.getvalue()


def _confusion_matrix(matrix: NDArray[np.int64], names: Sequence[str]) -> Axes:
    """Draw the counts on a ground of each true class's shares."""
    count = len(names)
    axes = _axes(1.4 + 1.1 * count if count <= 4 else min(3.2 + 0.36 * count, 9.0))
    support = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, support, out=np.zeros(matrix.shape), where=support > 0)
    display = ConfusionMatrixDisplay(shares).plot(
        ax=axes, cmap="Blues", colorbar=False, include_values=count <= _MAX_NUMBERS
    )
    display.im_.set_clim(0, 1)
    if display.text_ is not None:
        largest = len(f"{matrix.max():,}")
        for place, text in np.ndenumerate(display.text_):
            text.set_text(f"{matrix[place]:,}" if matrix[place] else "")
            text.set_fontsize(min(11.0, (30.0 if count > 4 else 44.0) / largest))
            text.set_color("white" if shares[place] > 0.5 else "black")
    places = range(0, count, -(-count // _MAX_TICKS))
    shown = [names[place] for place in places]
    slanted = max(map(len, shown)) > (11 if count <= 4 else 2)
    axes.set_xticks(
        places, shown, rotation=45 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.set_yticks(places, shown)
    axes.set_title(f"Confusion matrix: {np.trace(matrix):,} of {matrix.sum():,} right")
    axes.set(xlabel="predicted class", ylabel="true class")
    return axes


def _roc(curves: Sequence[tuple[str, Curve]], mean: float | None) -> Axes:
    axes = _axes(4.6)
    for name, curve in curves:
        RocCurveDisplay(
            fpr=curve.false_positives, tpr=curve.true_positives, roc_auc=curve.area, name=name
        ).plot(ax=axes)
    area = "" if mean is None else f", area {mean:.3f}"
    axes.set_title(f"ROC curve{'' if len(curves) == 1 else 's, each class against the rest'}{area}")
    axes.plot([0, 1], [0, 1], color="lightgrey", linestyle="--", zorder=1)
    _place_legend(axes)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    return axes


def _calibration(curves: Sequence[tuple[str, Calibration]]) -> Axes:
    axes = _axes(4.6)
    for name, curve in curves:
        CalibrationDisplay(curve.observed, curve.predicted, curve.scores, estimator_name=name).plot(
            ax=axes
        )
    axes.set_title("Calibration: how often it is right when it says so")
    _place_legend(axes)
    axes.set(xlabel="mean probability given", ylabel="share of rows of the class")
    return axes


def _place_legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=8, frameon=False)
