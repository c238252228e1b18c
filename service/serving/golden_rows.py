"""The golden rows of a version: made-up rows, and the answers that its classifier gave to them."""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.models.classifier import Classifier, replay

_LARGEST = 256 * 1024 * 1024

_ARRAY = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '(?P<type><f8|<i8)', 'fortran_order': (?P<order>True|False), "
    rb"'shape': \((?P<shape>[0-9]{1,9},|[0-9]{1,9}, [0-9]{1,9})\), \} *\n",
    re.DOTALL,
)
"""The header of an array's file."""


def replay_golden_rows(classifier: Classifier, data: bytes) -> None:
    """Compare a classifier's answers with the file's; raises ValueError where they differ."""
    golden = _golden(data)
    replay(classifier, golden["X"], golden["labels"], golden.get("probabilities"))


def _golden(data: bytes) -> Mapping[str, NDArray[Any]]:
    """Read float64 and int64 arrays that `np.savez` wrote; raises ValueError for anything else.

    numpy's own reader accepts more types, allocates as much memory as a header claims, and parses
    headers with `ast`, which sometimes fails in several threads at once (Python 3.11).
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
            raise ValueError("its golden rows are too large")
        files = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    return {name: _array(file) for name, file in files.items()}


def _array(file: bytes) -> NDArray[Any]:
    head = _ARRAY.match(file)
    if head is None:
        raise ValueError("its golden rows are in another format")
    shape = tuple(int(size) for size in head["shape"].split(b",") if size.strip())
    values = np.frombuffer(file[head.end() :], head["type"].decode())
    if math.prod(shape) != len(values):
        raise ValueError("the number of its golden rows differs from their header")
    return values.reshape(shape, order="F" if head["order"] == b"True" else "C")
