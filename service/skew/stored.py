"""Counts as a compressed file. It is read within bounds: anybody may have written to MLflow."""

import zlib
from collections.abc import Callable

import msgspec
import numpy as np

from service.skew.windows import Bucket, Windows

MOST_BYTES = 16 * 2**20
"""The largest file that is read."""

_NUMBER_BYTES = 4
_BUCKET_BYTES = 64
"""A bucket takes fewer bytes than this besides its counts."""


class _Bucket(msgspec.Struct, array_like=True):
    number: int
    rows: int
    counts: bytes


class _Ring(msgspec.Struct, array_like=True):
    span: int
    buckets: list[_Bucket]


class _File(msgspec.Struct):
    size: int
    rings: list[_Ring]


_decoder = msgspec.msgpack.Decoder(_File)


def encode(windows: Windows) -> bytes:
    """Return the bytes of a file that `decode` reads."""
    rings = [
        _Ring(
            ring.span,
            [
                _Bucket(number, bucket.rows, bucket.counts.astype("<u4").tobytes())
                for number, bucket in sorted(ring.buckets.items())
            ],
        )
        for ring in windows.rings
    ]
    return zlib.compress(msgspec.msgpack.encode(_File(windows.size, rings)), level=1)


def decode(data: bytes, size: int, clock: Callable[[], float]) -> Windows:
    """Read counts; raises ValueError if they are damaged, or of a layout of another size."""
    windows = Windows(size, clock)
    most = sum(ring.most for ring in windows.rings) * (size * _NUMBER_BYTES + _BUCKET_BYTES)
    inflating = zlib.decompressobj()
    try:
        file = _decoder.decode(inflating.decompress(data, most))
    except zlib.error as error:
        raise ValueError("the file is damaged") from error
    if file.size != size or [ring.span for ring in file.rings] != [
        ring.span for ring in windows.rings
    ]:
        raise ValueError("its counts are of another layout")
    for ring, read in zip(windows.rings, file.rings, strict=True):
        if len(read.buckets) > ring.most:
            raise ValueError("it has more spans than are kept")
        for one in read.buckets:
            if len(one.counts) != size * _NUMBER_BYTES or one.rows < 0:
                raise ValueError("its counts are of another layout")
            ring.buckets[one.number] = Bucket(
                one.rows, np.frombuffer(one.counts, "<u4").astype(np.uint32)
            )
    return windows
