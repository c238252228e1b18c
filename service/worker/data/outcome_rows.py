"""Rows of a file whose truth is known: the matrix of a schema, and the class of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.domain import RowsMedia
from service.common.errors import InvalidInput, Problem, escape, quoted
from service.schema.contract import Schema
from service.schema.explanation import MOST
from service.schema.labels import Labels, refuse_labels
from service.worker.data.cells import as_read, spelled
from service.worker.data.matrix import matrix_of_columns, open_rows
from service.worker.data.table import Column, Limits


def read_outcomes(
    path: Path, media: RowsMedia, schema: Schema, limits: Limits, encoding: str = "utf-8"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the matrix [rows, features] of a file, and the class of each row by its target.

    Raises InvalidInput with what is wrong with either, and otherwise as `read_matrix` does.
    """
    file = open_rows(path, media, schema, limits, encoding)
    columns = file.select(schema)
    target = columns.pop(schema.target, None)
    if target is None:
        message = f"has no column {quoted(schema.target)}, which holds the true labels"
        raise InvalidInput(f"The file {message}.", [Problem("", message)])
    labels = Labels(schema.classes)
    codes = _codes(target, labels)
    matrix, error = None, None
    try:
        matrix = matrix_of_columns(file, columns, schema)
    except InvalidInput as refused:
        error = refused
    wrong = np.flatnonzero(codes < 0)
    if matrix is None or len(wrong):
        pointers = {
            f"/instances/{row}/{escape(schema.target)}": labels.refusal(_value(target[row]))
            for row in wrong[:MOST].tolist()
        }
        raise refuse_labels(pointers, len(wrong), len(codes), error)
    return matrix, codes


def table_of_file(
    path: Path, media: RowsMedia, schema: Schema, limits: Limits, encoding: str = "utf-8"
) -> Mapping[str, Column]:
    """Return the columns of a file that `read_outcomes` reads, as a training would have them.

    Texts are as in the file, and missing where the schema says so.
    """
    file = open_rows(path, media, schema, limits, encoding)
    columns = file.select(schema)
    labels = Labels(schema.classes)
    codes = _codes(columns.pop(schema.target), labels)
    matrix = matrix_of_columns(file, columns, schema)
    read: dict[str, Column] = {}
    for place, feature in enumerate(schema.features):
        if feature.type == "text":
            texts = spelled(as_read(columns[feature.name], feature, schema))
            read[feature.name] = Column("text", texts.to_numpy(zero_copy_only=False))
        else:
            read[feature.name] = Column(feature.type, matrix[:, place])
    kind = object if labels.type == "text" else np.float64
    read[schema.target] = Column(labels.type, np.array(schema.classes, kind)[codes])
    return read


def _codes(array: Any, labels: Labels) -> NDArray[np.int64]:
    """Return the class of each value, -1 for a value that is none."""
    texts = spelled(array)
    if texts is None:
        return np.full(len(array), -1)
    coded = texts.dictionary_encode()
    found = [labels.code_of_text(text) for text in coded.dictionary.to_pylist()]
    known = np.array([-1 if code is None else code for code in found] + [-1], dtype=np.int64)
    classes: NDArray[np.int64] = known[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return classes


def _value(scalar: Any) -> object:
    value = scalar.as_py()
    return None if isinstance(value, float) and np.isnan(value) else value
