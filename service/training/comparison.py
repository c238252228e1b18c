"""A new version beside the one in use: both answer the rows that the training held out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.common.domain import Comparison
from service.common.errors import ClassifierUnavailable, InvalidInput, quoted
from service.models.classifier import Floats
from service.processes import job_files as files
from service.schema.contract import Schema, contract_difference, decode, encode
from service.serving.current_model import CurrentModel
from service.serving.predictor import Predictor
from service.serving.quality import ClassCounts, Ints, has_likelihoods, log_losses, mcnemar
from service.traffic.translation import class_indexes

Read = Callable[[Mapping[str, Any]], object]
"""Has a worker read the held-out rows by a schema; raises what ends the job."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a comparison."""

    comparison: Comparison
    epoch: int
    """That of the version it was compared with; 0 where there was none."""
    notes: tuple[str, ...]
    """What the owner of the training has to know of it."""


def compare(
    folder: Path, current_model: CurrentModel, read: Read, check: Callable[[], None]
) -> Compared:
    """Compare what a training has left in its folder with the version in use.

    `check` is called between parts of the rows, and may raise to end the work. Raises what `check`
    and `read` do, but no error of the version in use: one that cannot answer is incomparable.
    """
    schema = decode((folder / files.VERSION / "schema.json").read_bytes())
    truth: Ints = np.load(folder / files.TRUTH, allow_pickle=False)
    answers = _Answers.of_new(folder)
    metrics = answers.metrics(truth, len(schema.classes))
    in_use = current_model.in_use
    if in_use is None:
        reason = current_model.load_error or "No model is in use."
        return _incomparable(truth, metrics, 0, reason)
    predictor = in_use.predictor
    title = f"{quoted(predictor.name)} version {predictor.version}"
    difference = contract_difference(schema, predictor.schema)
    if difference:
        return _incomparable(truth, metrics, in_use.epoch, f"{title} is in use; {difference}.")
    read({"schema": encode(predictor.schema).decode()})
    try:
        others = _Answers.of_in_use(folder, predictor, schema, check)
    except (ClassifierUnavailable, InvalidInput) as error:
        reason = f"{title}, which is in use, cannot answer the held-out rows. {error}"
        return _incomparable(truth, metrics, in_use.epoch, reason)
    measured = others.metrics(truth, len(schema.classes))
    new_right, in_use_right = answers.labels == truth, others.labels == truth
    only_new = int(np.count_nonzero(new_right & ~in_use_right))
    only_in_use = int(np.count_nonzero(in_use_right & ~new_right))
    comparison = Comparison(
        rows=len(truth),
        new=metrics,
        verdict="better" if _is_better(metrics, measured) else "not better",
        in_use=measured,
        only_new_right=only_new,
        only_in_use_right=only_in_use,
        p_value=mcnemar(only_new, only_in_use),
    )
    return Compared(comparison, in_use.epoch, tuple(_notes(title, metrics, measured, others)))


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """The classes of the held-out rows, [N], -1 where a row was refused, and the probabilities."""

    labels: Ints
    probabilities: Floats | None
    refused: int = 0

    @classmethod
    def of_new(cls, folder: Path) -> "_Answers":
        path = folder / files.PROBABILITIES
        chances = np.load(path, allow_pickle=False) if path.exists() else None
        return cls(np.load(folder / files.LABELS, allow_pickle=False), chances)

    @classmethod
    def of_in_use(
        cls, folder: Path, predictor: Predictor, new: Schema, check: Callable[[], None]
    ) -> "_Answers":
        """Have the version in use answer, on this thread alone: predictions go first."""
        matrix: Floats = np.load(folder / files.MATRIX, allow_pickle=False)
        refused = np.load(folder / files.REFUSED, allow_pickle=False)
        classification = predictor.classification.alone()
        labels = np.full(len(matrix), -1)
        probabilities = None
        if not refused.all():
            asked = predictor.classifier.has_probabilities
            found, probabilities = classification.classify(matrix[~refused], asked, check=check)
            labels[~refused] = class_indexes(predictor.schema, new)[found]
            if probabilities is not None:
                probabilities = probabilities[:, class_indexes(new, predictor.schema)]
        count = int(refused.sum())
        return cls(labels, None if count else probabilities, count)

    def metrics(self, truth: Ints, classes: int) -> dict[str, float]:
        measured = ClassCounts.of(truth, self.labels, classes).metrics()
        if self.probabilities is not None and has_likelihoods(self.probabilities):
            measured["log_loss"] = float(log_losses(truth, self.probabilities).mean())
        return measured


def _is_better(new: Mapping[str, float], in_use: Mapping[str, float]) -> bool:
    if new["balanced_accuracy"] != in_use["balanced_accuracy"]:
        return new["balanced_accuracy"] > in_use["balanced_accuracy"]
    both = "log_loss" in new and "log_loss" in in_use
    return both and new["log_loss"] < in_use["log_loss"]


def _notes(
    title: str, new: Mapping[str, float], in_use: Mapping[str, float], answers: _Answers
) -> list[str]:
    notes = []
    if answers.refused:
        notes.append(
            f"{title}, which is in use, refuses {answers.refused:,} of {len(answers.labels):,} "
            "held-out rows, for a category or a missing value that it does not take, or a number "
            "out of its range. They count as wrong for it."
        )
    lacking = [
        name
        for name, metrics in (("the new version", new), (title, in_use))
        if "log_loss" not in metrics
    ]
    if lacking:
        notes.append(
            f"There is no log loss of {' and of '.join(lacking)}, so only balanced accuracy counts."
        )
    return notes


def _incomparable(truth: Ints, metrics: Mapping[str, float], epoch: int, reason: str) -> Compared:
    comparison = Comparison(rows=len(truth), new=metrics, verdict="incomparable")
    return Compared(comparison, epoch, (f"It was not put in use, as nothing compares. {reason}",))
