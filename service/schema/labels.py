"""True labels beside instances: the class of each, or what is wrong with it."""

from collections.abc import Mapping, Sequence

from service.common.did_you_mean import Names
from service.common.domain import Label, spelling
from service.common.errors import InvalidInput, Problem, quoted
from service.schema.contract import FeatureType
from service.schema.explanation import MOST

_FEW = 5
"""Classes up to which all are named to a client that sent another."""


class Labels:
    """The classes of one version."""

    def __init__(self, classes: Sequence[Label]) -> None:
        self._codes = {(type(label), label): code for code, label in enumerate(classes)}
        self._texts = {spelling(label): code for code, label in enumerate(classes)}
        self._kinds = {type(label) for label in classes}
        self._names = Names(self._texts)
        self._shown = ", ".join(quoted(text, 24) for text in self._texts)

    @property
    def type(self) -> FeatureType:
        """The type of a column that holds them."""
        if self._kinds == {bool}:
            return "boolean"
        return "number" if self._kinds == {int} else "text"

    def code(self, label: object) -> int | None:
        """Return the index of the class of a JSON value, which has its type; None: it has none."""
        try:
            return self._codes.get((type(label), label))  # type: ignore[arg-type]
        except TypeError:  # a list or an object
            return None

    def code_of_text(self, text: str) -> int | None:
        """Return the index of the class that a file spells so; None: it has none."""
        code = self._texts.get(text)
        if code is None:
            code = self._texts.get(text.strip())
        if code is None and bool in self._kinds:
            code = self._texts.get(text.strip().lower())
        if code is None and int in self._kinds:
            try:
                number = float(text)
            except ValueError:
                return None
            code = self._texts.get(f"{number:.0f}") if number.is_integer() else None
        return code

    def refusal(self, label: object) -> str:
        """Return what is wrong with a label that is of no class."""
        if label is None:
            return "is missing"
        text = spelling(label)
        if text in self._texts:
            kind = "a text" if isinstance(label, str) else "a number or a boolean"
            return f"is {quoted(text)} as {kind}, which is no class of this version"
        hint = self._names.did_you_mean(text)
        if not hint and len(self._texts) <= _FEW:
            hint = f"; there are: {self._shown}"
        return f"is {quoted(text)}, which is no class of this version{hint}"


def refuse_labels(
    wrong: Mapping[str, str], count: int, total: int, error: InvalidInput | None
) -> InvalidInput:
    """Return what is wrong with `count` of `total` labels, and with the instances, if anything is.

    `wrong` has the messages of the first of them by pointer, `error` what the instances have.
    """
    problems = [Problem(pointer, message) for pointer, message in wrong.items()]
    first = f"{problems[0].pointer} {problems[0].message.split(';')[0]}" if problems else ""
    many = "1 label" if count == 1 else f"{count:,} labels"
    detail = f"{many} of {total:,}: {first}. Nothing was counted."
    if error is None:
        return InvalidInput(detail, problems[:MOST])
    if not count:
        return error
    known = list(error.problems)[: MOST - min(len(problems), MOST // 2)]
    listed = [*known, *problems[: MOST - len(known)]]
    return InvalidInput(f"{error} {detail}", listed, error.features)
