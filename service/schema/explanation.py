"""Everything that is wrong with a request, in words and pointers: the slow decoder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.did_you_mean import Names
from service.common.errors import InvalidInput, Problem, escape, quoted
from service.schema import strict_json
from service.schema.contract import Feature, Schema
from service.schema.file_options import MARKERS

MOST = 20
"""Problems that are listed; all are counted."""

_SUGGESTIONS = 5
"""Unknown keys and categories that get a suggestion: finding one takes 0.1 ms."""

_ENVELOPE = Names(("instances", "probabilities"))


@dataclass(slots=True)
class _Findings:
    listed: list[Problem] = field(default_factory=list)
    count: int = 0
    features: set[str] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self.listed) >= MOST

    def add(self, pointer: str, message: str, feature: str | None = None) -> None:
        self.count += 1
        if not self.full:
            self.listed.append(Problem(pointer, message))
            if feature is not None:
                self.features.add(feature)


class StrictDecoder:
    """Decodes requests for one schema slowly, and finds what is wrong with them."""

    def __init__(self, schema: Schema, max_rows: int, max_depth: int) -> None:
        self._compiled = _Compiled(schema)
        self._max_rows = max_rows
        self._max_depth = max_depth

    def read(self, body: bytes) -> tuple[NDArray[np.float64], bool]:
        """Return the matrix of a request and whether probabilities are asked for.

        Raises InvalidInput with every problem, or BodyTooLarge where there are too many rows.
        """
        value = strict_json.parse_input(body, self._max_depth, self._max_rows)
        findings = _Findings()
        instances, probabilities = _envelope(value, findings)
        # A value takes two bytes at least: a matrix with more cells than that is never returned.
        width = len(self._compiled.features)
        is_possible = 2 * len(instances) * width <= len(body)
        return self._read(instances, findings, is_possible), probabilities

    def of_instances(self, instances: list[Any]) -> NDArray[np.float64]:
        """Return the matrix of instances that were parsed elsewhere; raises InvalidInput."""
        return self._read(instances, _Findings(), is_possible=True)

    def _read(
        self, instances: list[Any], findings: "_Findings", is_possible: bool
    ) -> NDArray[np.float64]:
        height = len(instances) if is_possible else 1
        matrix = np.empty((height, len(self._compiled.features)))
        wrong = _Instances(self._compiled, findings).read(instances, matrix)
        if findings.count:
            raise _refusal(findings, wrong, len(instances))
        return matrix

    def of_rows(
        self, rows: Mapping[int, Mapping[str, Any]], total: int, wrong: int
    ) -> "InvalidInput":
        """Return what is wrong with rows that were decoded elsewhere.

        `wrong` of `total` rows are refused; `rows` are the first of them, by number.
        """
        findings = _Findings()
        reader = _Instances(self._compiled, findings)
        cells = np.empty(len(self._compiled.features))
        for row, instance in rows.items():
            reader.read_object(instance, row, cells)
        return _refusal(findings, wrong, total, at_least=wrong > len(rows))


def _refusal(
    findings: "_Findings", wrong: int, total: int, at_least: bool = False
) -> "InvalidInput":
    first = findings.listed[0]
    where = f" in {wrong} of {total} instances" if wrong else ""
    listed = "; ".join(_tell(problem) for problem in findings.listed[:3])
    more = "" if findings.count <= 3 else "; …"
    many = "1 problem" if findings.count == 1 else f"{findings.count} problems"
    many = f"at least {many}" if at_least else many
    detail = f"{many}{where}: {listed}{more}." if first.pointer else f"The body {first.message}."
    return InvalidInput(detail, findings.listed, frozenset(findings.features))


class _Compiled:
    """What is prepared from a schema once."""

    def __init__(self, schema: Schema) -> None:
        self.features = schema.features
        self.target = schema.target
        self.at = {feature.name: index for index, feature in enumerate(schema.features)}
        self.names = Names(self.at)
        self.categories = [Names(feature.categories) for feature in schema.features]
        self.codes = [
            {text: code for code, text in enumerate(feature.categories)}
            for feature in schema.features
        ]
        self.refuse_unknown = schema.unknown_categories == "refuse"
        self.kinds = sorted({feature.type for feature in schema.features})


def _tell(problem: Problem) -> str:
    key = problem.pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
    return f"{quoted(key, 32)} {problem.message.split(';')[0]}"


def _envelope(value: Any, findings: _Findings) -> tuple[list[Any], bool]:
    if not isinstance(value, dict):
        findings.add("", 'must be an object with the key "instances"')
        return [], False
    for key in (key for key in value if key not in ("instances", "probabilities")):
        hint = _ENVELOPE.did_you_mean(key, value) if findings.count < _SUGGESTIONS else ""
        findings.add(f"/{escape(key)}", f"is not a key of this request{hint}")
    probabilities = value.get("probabilities", False)
    if not isinstance(probabilities, bool):
        findings.add("/probabilities", "must be true or false")
    instances = value.get("instances")
    if "instances" not in value:
        findings.add("/instances", "is missing")
    elif not isinstance(instances, list):
        findings.add("/instances", "must be a list of instances")
    elif not instances:
        findings.add("/instances", "is empty; send at least one instance")
    return instances if isinstance(instances, list) else [], probabilities is True


class _Instances:
    """Decodes instances one by one into a matrix, and notes what is wrong with each."""

    def __init__(self, compiled: _Compiled, findings: _Findings) -> None:
        self._compiled = compiled
        self._features = compiled.features
        self._findings = findings
        self._suggested = 0

    def read(self, instances: list[Any], matrix: NDArray[np.float64]) -> int:
        """Fill the matrix; return the number of instances with a problem."""
        wrong = 0
        form = type(instances[0]) if instances else dict
        last = len(matrix) - 1
        for row, instance in enumerate(instances):
            before = self._findings.count
            kind = type(instance)
            if kind is not list and kind is not dict:
                message = "must be an object with a value for each feature"
                self._findings.add(f"/instances/{row}", message)
            elif (kind is list) is not (form is list):
                message = "differs in form; send all as objects or all as arrays"
                self._findings.add(f"/instances/{row}", message)
            elif kind is dict:
                self.read_object(instance, row, matrix[min(row, last)])
            else:
                self._array(instance, f"/instances/{row}", matrix[min(row, last)])
            wrong += self._findings.count > before
        return wrong

    def read_object(
        self, instance: Mapping[str, Any], row: int, cells: NDArray[np.float64]
    ) -> None:
        """Decode one instance into the cells of its row."""
        pointer = f"/instances/{row}"
        if self._findings.full:
            self._count(instance, pointer, cells)
            return
        for index, feature in enumerate(self._features):
            if feature.name in instance:
                cells[index] = self._cell(instance[feature.name], feature, index, pointer, None)
            else:
                self._findings.add(f"{pointer}/{escape(feature.name)}", "is missing", feature.name)
        at = self._compiled.at
        if len(instance) > len(self._features) or any(key not in at for key in instance):
            for key in instance:
                if key not in at:
                    self._unknown(key, pointer, instance)

    def _count(self, instance: Mapping[str, Any], pointer: str, row: NDArray[np.float64]) -> None:
        """Count what is wrong in time that grows with the instance, not with the features."""
        missing = len(self._features)
        for key, value in instance.items():
            index = self._compiled.at.get(key)
            if index is None:
                self._findings.count += 1
            else:
                missing -= 1
                row[index] = self._cell(value, self._features[index], index, pointer, None)
        self._findings.count += missing

    def _unknown(self, key: str, pointer: str, instance: Mapping[str, Any]) -> None:
        if self._findings.full:
            self._findings.count += 1
            return
        hint = ""
        if self._suggested < _SUGGESTIONS:
            self._suggested += 1
            hint = self._compiled.names.did_you_mean(key, instance)
        if key == self._compiled.target:
            hint = ", but what the model predicts: leave it out"
        self._findings.add(f"{pointer}/{escape(key)}", f"is not a feature{hint}")

    def _array(self, instance: list[Any], pointer: str, row: NDArray[np.float64]) -> None:
        kinds = self._compiled.kinds
        if len(kinds) > 1:
            self._findings.add(
                pointer,
                f"must be an object keyed by feature, since the features are {' and '.join(kinds)}:"
                " in an array a swapped column would pass unseen",
            )
        elif len(instance) != len(self._features):
            self._findings.add(
                pointer, f"has {len(instance)} values for {len(self._features)} features"
            )
        else:
            for index, feature in enumerate(self._features):
                row[index] = self._cell(instance[index], feature, index, pointer, index)

    def _cell(
        self, value: Any, feature: Feature, index: int, pointer: str, position: int | None
    ) -> float:
        """Return the cell of the matrix; it is NaN where a problem is noted."""
        message = None
        if value is None:
            if feature.nullable:
                return np.nan
            wanted = _WANTED[feature.type]
            message = f"must be {wanted}, not null: the model takes no missing value here"
            if marker := next((text for text in feature.categories if text in MARKERS), None):
                message += f'; it takes {quoted(marker)}, and "missing" in /train makes that null'
        elif feature.type == "number":
            if type(value) is not float and type(value) is not int:
                message = f"must be a number, not {_kind(value)}"
            elif not feature.low <= value <= feature.high:
                message = (
                    "is out of the range that this classifier can take"
                    f" ({feature.low:.6g} to {feature.high:.6g})"
                )
            else:
                return float(value)
        elif feature.type == "boolean":
            if isinstance(value, bool):
                return float(value)
            message = f"must be true or false, not {_kind(value)}"
        elif not isinstance(value, str):
            message = f"must be a text, not {_kind(value)}"
        else:
            code = self._compiled.codes[index].get(value, -1)
            if code >= 0 or not self._compiled.refuse_unknown:
                return float(code)
            message = self._unknown_category(value, feature, index)
        token = escape(feature.name) if position is None else position
        self._findings.add(f"{pointer}/{token}", message, feature.name)
        return np.nan

    def _unknown_category(self, value: str, feature: Feature, index: int) -> str:
        hint = ""
        if self._suggested < _SUGGESTIONS:
            self._suggested += 1
            hint = self._compiled.categories[index].did_you_mean(value)
        if not hint and len(feature.categories) <= 5:
            hint = "; send one of " + ", ".join(quoted(c, 24) for c in feature.categories)
        return f"is {quoted(value)}, a category that training did not see{hint}"


_WANTED = {"number": "a number", "boolean": "true or false", "text": "a text"}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"
