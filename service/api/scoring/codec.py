"""What MLflow's scoring protocol needs of one version: rows in its forms, read and answered."""

from typing import Any

import msgspec
import orjson

from service.api.scoring.forms import number_of, rows_of, wants_probabilities
from service.api.written import Written
from service.common.errors import BodyTooLarge, InvalidInput
from service.models.classifier import Floats, Labels
from service.schema import strict_json
from service.schema.example import example_value
from service.serving.predictor import Predictor
from service.serving.question import Question
from service.serving.reply_encoder import ReplyEncoder
from service.serving.served_model import JSON


class _Split(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    columns: list[str]
    data: list[list[float | str | bool | None]]


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    dataframe_split: _Split


_decoder = msgspec.json.Decoder(_Request)
_KEYS = 3
"""Of the request that the compiled decoder reads: as many colons, without those in its texts."""


class ScoringCodec:
    """Reads requests for one version, and writes its replies."""

    def __init__(self, predictor: Predictor) -> None:
        features = predictor.schema.features
        self._columns = predictor.decoder.columns
        self._limits = predictor.limits
        self._names = [feature.name for feature in features]
        self._numbers = {feature.name for feature in features if feature.type == "number"}
        self._replies = ReplyEncoder({}, predictor.schema.classes)
        values = [example_value(feature) for feature in features]
        self.example = {"dataframe_split": {"columns": self._names, "data": [values]}}
        """A request that works."""

    def quick(self, body: bytes) -> Question[Written] | None:
        """Read it with compiled decoders alone; None says nothing about it: use `careful`."""
        try:
            split = _decoder.decode(body).dataframe_split
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        names, data = split.columns, split.data
        if not 0 < len(data) <= self._limits.rows or len(set(names)) < len(names):
            return None
        colons = sum(name.count(":") for name in names)
        for row in data:
            if len(row) != len(names):
                return None
            colons += sum(cell.count(":") for cell in row if type(cell) is str)
        if body.count(b":") != _KEYS + colons or b"\\" in body:
            return None
        columns = dict(zip(names, map(list, zip(*data, strict=True)), strict=True))
        matrix = self._columns.try_columns(columns, len(data))
        return None if matrix is None else Question(matrix, False, self.write_labels)

    def careful(self, body: bytes) -> Question[Written]:
        """Read it slowly; raises InvalidInput with what is wrong, or BodyTooLarge."""
        value = strict_json.parse_input(body, self._limits.depth, self._limits.rows)
        if not isinstance(value, dict):
            raise InvalidInput("The body must be an object.", [])
        rows = rows_of(value, self._names)
        sure = wants_probabilities(value)
        if rows.total > self._limits.rows:
            raise BodyTooLarge("The number of instances", self._limits.rows, "rows")
        if rows.instances is not None:
            matrix = self._columns.of_instances(rows.instances)
        else:
            matrix = self._columns.of_columns(self._cast(rows.columns or {}), rows.total)
        return Question(matrix, sure, self._chances if sure else self.write_labels)

    def _cast(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the features' columns, without others, and numbers that are texts as numbers.

        Where a feature is missing all are returned, as one of the others may be a misspelling.
        """
        if all(name in columns for name in self._names):
            columns = {name: columns[name] for name in self._names}
        return {
            name: list(map(number_of, column)) if name in self._numbers else column
            for name, column in columns.items()
        }

    def write_labels(self, labels: Labels, _: Floats | None) -> Written:
        """Return the reply that has the labels of all rows."""
        return Written(self._replies.encode(labels, None), (JSON,))

    @staticmethod
    def _chances(_: Labels, chances: Floats | None) -> Written:
        body = orjson.dumps({"predictions": chances}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Written(body, (JSON,))
