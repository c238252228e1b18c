"""Pictures of how good a classifier is on the rows held out, as PNG files."""

import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.common.errors import clip
from service.schema.contract import spelling
from service.worker.learning import evaluation
from service.worker.learning.fitting import Fitted

MOST_CURVES = 10
_MOST_NUMBERS = 15
_MOST_TICKS = 30
_DPI = 110

_INK, _FAINT = "#22303c", "#c9d1d9"
_COLOURS = (
    *("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#e8a200"),
    *("#0b7285", "#c2255c", "#5f3dc4", "#66800b", "#868e96"),
)

Curve = tuple[str, NDArray[np.bool_], NDArray[np.float64]]
"""A class, the rows that are of it, and the probability given to it."""


def pictures(fitted: Fitted) -> dict[str, bytes]:
    """Draw the confusion matrix and, where there are probabilities, ROC and calibration curves.

    Curves are of the second of two classes, else of each against the rest, up to 10 classes; the
    calibration of more than three is drawn for all together.
    """
    names = [_name(label) for label in fitted.schema.classes]
    drawn = {"confusion_matrix.png": _png(confusion_matrix(fitted.confusion, names))}
    scores, truth = fitted.held_out, fitted.codes[fitted.test]
    if scores is None or not np.isfinite(scores).all():
        return drawn
    positives = [1] if len(names) == 2 else range(len(names))
    curves = []
    for k in positives:
        hits = truth == k
        if hits.any() and not hits.all():
            curves.append((names[k], hits, np.clip(scores[:, k], 0.0, 1.0)))
    if curves and len(names) <= MOST_CURVES:
        drawn["roc_curve.png"] = _png(_roc(curves, fitted.metrics.get("roc_auc")))
        drawn["calibration_curve.png"] = _png(_calibration(_pooled(curves)))
    return drawn


def _pooled(curves: Sequence[Curve]) -> Sequence[Curve]:
    """Put the classes together where their own curves would be a tangle."""
    if len(curves) <= 3:
        return curves
    hits = np.concatenate([hits for _, hits, _ in curves])
    return [("all classes", hits, np.concatenate([scores for _, _, scores in curves]))]


def _name(label: object) -> str:
    return clip(" ".join(spelling(label).split()) or "(empty)", 24)


def _axes(width: float, height: float) -> Axes:
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in axes.spines.values():
        side.set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    return axes


def _png(axes: Axes) -> bytes:
    sink = io.BytesIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    with warnings.catch_warnings():
        # A label in a script that the font lacks is drawn as boxes; that is no reason to fail.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(
            sink, format="png", bbox_inches="tight", pad_inches=0.15, metadata={"Software": None}
        )
    return sink.getvalue()


def _title(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=_INK, pad=10, parse_math=False)
    axes.set_xlabel(x, fontsize=9, color=_INK, labelpad=8)
    axes.set_ylabel(y, fontsize=9, color=_INK, labelpad=8)


def confusion_matrix(matrix: NDArray[np.int64], names: Sequence[str]) -> Axes:
    """Draw the counts on a ground of each true class's shares."""
    count = len(names)
    size = 1.4 + 1.1 * count if count <= 4 else min(3.2 + 0.36 * count, 9.0)
    axes = _axes(size, size)
    support = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, support, out=np.zeros(matrix.shape), where=support > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    step = -(-count // _MOST_TICKS)
    places = list(range(0, count, step))
    shown = [names[place] for place in places]
    slanted = max(map(len, shown)) > (11 if count <= 4 else 2)
    axes.set_xticks(
        places,
        shown,
        rotation=45 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
        parse_math=False,
    )
    axes.set_yticks(places, shown, parse_math=False)
    if count <= _MOST_NUMBERS:
        largest = len(f"{matrix.max():,}")
        font = min(11.0, 30.0 / largest if count > 4 else 44.0 / largest)
        for row, column in np.ndindex(count, count):
            if matrix[row, column]:
                axes.text(
                    column,
                    row,
                    f"{matrix[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=font,
                    color="white" if shares[row, column] > 0.5 else _INK,
                )
    right = np.trace(matrix)
    title = f"Confusion matrix: {right:,} of {matrix.sum():,} right"
    _title(axes, title, "predicted class", "true class")
    return axes


def _square(title: str, x: str, y: str) -> Axes:
    axes = _axes(4.6, 4.6)
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlim(-0.015, 1.015)
    axes.set_ylim(-0.015, 1.015)
    axes.set_aspect("equal")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
    _title(axes, title, x, y)
    return axes


def _legend(axes: Axes) -> None:
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0,
        fontsize=8,
        frameon=False,
        labelcolor=_INK,
        handlelength=1.4,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _roc(curves: Sequence[Curve], mean: float | None) -> Axes:
    shown = "" if mean is None else f", area {mean:.3f}"
    title = f"ROC curve{'' if len(curves) == 1 else 's, each class against the rest'}{shown}"
    axes = _square(title, "false positive rate", "true positive rate")
    for (name, hits, scores), colour in zip(curves, _COLOURS, strict=False):
        label = f"{name}  {evaluation.area(hits, scores):.3f}"
        axes.plot(*evaluation.roc_curve(hits, scores), color=colour, linewidth=1.6, label=label)
    _legend(axes)
    return axes


def _calibration(curves: Sequence[Curve]) -> Axes:
    title = "Calibration: how often it is right when it says so"
    axes = _square(title, "mean probability given", "share of rows of the class")
    for (name, hits, scores), colour in zip(curves, _COLOURS, strict=False):
        means, shares, rows = evaluation.calibration(hits, scores)
        # A share of a handful of rows is noise, and draws a zigzag.
        enough = rows >= min(5, rows.max())
        means, shares = means[enough], shares[enough]
        axes.plot(means, shares, color=colour, linewidth=1.4, marker="o", markersize=4, label=name)
    _legend(axes)
    return axes
