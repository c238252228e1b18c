"""A version's record to a predictor: fetch, verify, load, replay, warm."""

import contextlib
import hashlib
import io
import logging
import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from service import runtime
from service.children import Children
from service.errors import InvalidRequest, ServiceError, VersionNotServable, clip
from service.model import Version, Versions
from service.predictor import Predictor
from service.schema import Schema, decode
from service.schema.decoder import Limits

logger = logging.getLogger(__name__)

_KEPT = 10
"""Versions whose artifacts stay in the cache."""

_LARGEST_GOLDEN = 256 * 1024 * 1024
_ADOPT_MEMORY = 4 * 2**30
_ADOPT_SECONDS = 60.0


class Loader:
    """Loads versions; may be called from several threads."""

    def __init__(
        self,
        versions: Versions,
        children: Children,
        cache: Path,
        limits: Limits,
        allow_pickle: bool,
    ) -> None:
        self._versions = versions
        self._children = children
        self._cache = cache
        self._limits = limits
        self._allow_pickle = allow_pickle
        self._lock = threading.Lock()
        self._verdicts: dict[tuple[str, int, float], str | None] = {}
        cache.mkdir(parents=True, exist_ok=True)

    def load(self, version: Version) -> Predictor:
        """Give a predictor that has answered its own example.

        Raises VersionNotServable with the reason, or RegistryUnavailable where the artifacts are
        not in the cache and cannot be fetched.
        """
        with self._judged(version):
            with self._lock:
                folder = self._folder(version)
            predictor = self._load(version, folder)
            predictor.warm()
            return predictor

    def inspect(self, version: Version) -> None:
        """Find out whether a foreign version can be served; `verdict` tells."""
        with contextlib.suppress(VersionNotServable):
            self.load(version)

    def verdict(self, version: Version) -> tuple[bool, str | None]:
        """Tell whether a version was looked at, and the reason if it cannot be served."""
        key = _key(version)
        return key in self._verdicts, self._verdicts.get(key)

    def schema(self, version: Version) -> Schema:
        """Give a version's schema; raises like `load`."""
        with self._judged(version), self._lock:
            return decode((self._folder(version) / "schema.json").read_bytes())

    @contextmanager
    def _judged(self, version: Version) -> Iterator[None]:
        """Turn what is found wrong with a version into VersionNotServable, and remember it."""
        if version.refusal is not None:
            raise VersionNotServable(version.name, version.version, version.refusal)
        try:
            yield
        except VersionNotServable as error:
            self._verdicts[_key(version)] = error.reason
            raise
        except (ValueError, InvalidRequest, zipfile.BadZipFile, KeyError) as error:
            reason = clip(str(error).split("\n")[0].rstrip("."), 300) + "."
            self._verdicts[_key(version)] = reason
            raise VersionNotServable(version.name, version.version, reason) from error
        else:
            self._verdicts[_key(version)] = None

    def _folder(self, version: Version) -> Path:
        """Give the folder of the version's verified artifacts, from the cache where they are."""
        mark = f"{version.created_at:.3f}" if version.foreign else version.digest[:16]
        folder = self._cache / f"{version.name}-{version.version}-{mark}"
        if folder.is_dir() and not version.foreign:
            try:
                _verify(version, folder)
            except ValueError:
                logger.warning("the cache of %s %s is damaged", version.name, version.version)
                shutil.rmtree(folder)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=self._cache, prefix=".") as name:
                got = self._versions.fetch(version, Path(name) / "fetched")
                if version.foreign:
                    got = self._adopt(got, Path(name))
                else:
                    _verify(version, got)
                got.rename(folder)
        os.utime(folder)
        self._prune(folder)
        return folder

    def _adopt(self, fetched: Path, folder: Path) -> Path:
        """Have a child make what it can of a foreign version; raises ValueError if nothing."""
        order = {"source": str(fetched.resolve()), "allow_pickle": self._allow_pickle}
        job = self._children.start("adopt", folder, order, _ADOPT_MEMORY, _ADOPT_SECONDS)
        try:
            result = job.wait(_ADOPT_SECONDS)
        except (ServiceError, TimeoutError) as error:
            job.stop("It took too long.")
            raise ValueError(f"reading it failed: {error}") from error
        assert isinstance(result, dict)
        if result["reason"] is not None:
            raise ValueError(result["reason"])
        return folder / "adopted"

    def _prune(self, latest: Path) -> None:
        folders = sorted(
            (path for path in self._cache.iterdir() if not path.name.startswith(".")),
            key=lambda path: path.stat().st_mtime,
        )
        for folder in folders[:-_KEPT]:
            if folder != latest:
                shutil.rmtree(folder, ignore_errors=True)

    def _load(self, version: Version, folder: Path) -> Predictor:
        schema = decode((folder / "schema.json").read_bytes())
        classifier: runtime.Classifier
        if (folder / "model.onnx").is_file():
            classes = schema.classes if version.foreign else None
            classifier = runtime.load_onnx((folder / "model.onnx").read_bytes(), classes)
        else:
            names = [feature.name for feature in schema.features]
            classifier = runtime.load_native((folder / "model.skops").read_bytes(), names)
        if not version.foreign:
            _replay(classifier, folder / "golden.npz")
        return Predictor(version.name, version.version, schema, classifier, self._limits)


def _key(version: Version) -> tuple[str, int, float]:
    # A version that is deleted and made again may be another one under the same number.
    return version.name, version.version, version.created_at


def _verify(version: Version, folder: Path) -> None:
    """Compare each file with the digest in the version's record; raises ValueError."""
    for file, digest in version.sha256.items():
        path = folder / file
        if not path.is_file():
            raise ValueError(f"its file {file} is missing")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ValueError(f"its file {file} is not the one that was registered (sha256)")


def _replay(classifier: runtime.Classifier, path: Path) -> None:
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_GOLDEN:
            raise ValueError("its golden rows are too large")
    with np.load(io.BytesIO(data), allow_pickle=False) as golden:
        probabilities = golden.get("probabilities")
        runtime.replay(classifier, golden["X"], golden["labels"], probabilities)
