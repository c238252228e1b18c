"""Loads versions: fetches and verifies their files, and checks that they answer as they should."""

import hashlib
import logging
import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from service.common.disk_errors import lack
from service.common.domain import ARTIFACTS, Version, is_new_model_name
from service.common.errors import (
    ClassifierUnavailable,
    InvalidRequest,
    JobFailed,
    StorageUnavailable,
    VersionNotServable,
    WorkerCrashed,
    clip,
)
from service.common.ports import Versions
from service.models.classifier import Classifier
from service.models.onnx_classifier import load_onnx
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.processes.remote_classifier import RemoteClassifier
from service.schema import reference
from service.schema.contract import Schema, decode
from service.schema.decoder import Limits
from service.serving.alternate import Alternate
from service.serving.core_pool import CorePool
from service.serving.golden_rows import replay_golden_rows
from service.serving.predictor import Predictor
from service.skew.tallies import Tallies

logger = logging.getLogger(__name__)

_KEPT = 10
"""The files of at least this many versions stay in the cache, besides those in use."""

_ADOPTION = JobLimits(seconds=60.0, memory_bytes=2 * 2**30)
_MOST_VERDICTS = 10_000

_ADOPTED_FORM = 2
"""Raise it when the conversion of foreign versions changes: the cache holds converted versions."""

_SPOILED = (ValueError, InvalidRequest, zipfile.BadZipFile, KeyError, ClassifierUnavailable)
"""Errors that show that a version cannot be served."""

_Key = tuple[str, int, float]


class Loader:
    """Loads versions; may be called from several threads."""

    def __init__(
        self,
        versions: Versions,
        workers: WorkerPool,
        cache: Path,
        limits: Limits,
        allow_pickle: bool,
        classifier_lost: Callable[[], None] = lambda: None,
        cores: CorePool | None = None,
        kept: int = _KEPT,
        tallies: Tallies | None = None,
    ) -> None:
        """`kept` is the number of versions whose files stay in the cache, besides those in use.

        Without `tallies` nothing counts what versions answer.
        """
        self._tallies = Tallies(0) if tallies is None else tallies
        self._kept = max(kept, _KEPT)
        self._versions = versions
        self._workers = workers
        self._cache = cache
        self._limits = limits
        self._allow_pickle = allow_pickle
        self._classifier_lost = classifier_lost
        self._cores = cores
        self._lock = threading.Lock()
        self._reading: WeakValueDictionary[_Key, threading.Lock] = WeakValueDictionary()
        """A lock for each version whose files are being read; it goes when nobody holds it."""
        self._pinned: frozenset[Path] = frozenset()
        self._verdicts: dict[_Key, str | None] = {}
        cache.mkdir(parents=True, exist_ok=True)
        for unfinished in cache.glob(".*"):
            shutil.rmtree(unfinished, ignore_errors=True)

    def load(self, version: Version) -> Predictor:
        """Return a predictor that has answered its own example.

        Raises VersionNotServable with the reason, RegistryUnavailable if the artifacts are not in
        the cache and cannot be fetched, or StorageUnavailable.
        """
        with self._judged(version):
            predictor = self._predictor(version, self._files(version))
        self._verdicts[_key(version)] = None
        return predictor

    def inspect(self, version: Version) -> None:
        """Find out whether a foreign version can be served; `verdict` returns the result.

        A worker process reads the version; nothing of it is loaded in this process.
        """
        with self._judged(version):
            self._files(version)
        self._verdicts[_key(version)] = None

    def pin(self, *versions: Version) -> None:
        """Keep the files of these versions in the cache, instead of those pinned before."""
        self._pinned = frozenset(map(self._folder, versions))

    def verdict(self, version: Version) -> tuple[bool, str | None]:
        """Return whether a version was checked, and the reason if it cannot be served."""
        key = _key(version)
        return key in self._verdicts, self._verdicts.get(key)

    def schema(self, version: Version) -> Schema:
        """Return a version's schema; raises like `load`."""
        with self._judged(version):
            return decode(self._files(version)["schema.json"])

    @contextmanager
    def _judged(self, version: Version) -> Iterator[None]:
        """Turn a version's errors in the block into VersionNotServable; remember the reason."""
        if version.refusal is not None:
            raise VersionNotServable(version.name, version.version, version.refusal)
        while len(self._verdicts) >= _MOST_VERDICTS:
            self._verdicts.pop(next(iter(self._verdicts)), None)
        try:
            yield
        except VersionNotServable as error:
            self._verdicts[_key(version)] = error.reason
            raise
        except _SPOILED as error:
            reason = clip(str(error).split("\n")[0].rstrip("."), 300) + "."
            if isinstance(error, ClassifierUnavailable):
                reason = "its process ended while it answered its golden rows or its example."
            self._verdicts[_key(version)] = reason
            raise VersionNotServable(version.name, version.version, reason) from error
        except OSError as error:
            if disk := lack(error):
                raise StorageUnavailable(disk) from error
            raise

    def _files(self, version: Version) -> Mapping[str, bytes]:
        """Return the version's verified artifacts, from the cache if they are there."""
        with self._lock:
            reading = self._reading.setdefault(_key(version), threading.Lock())
        with reading:
            return self._cached(version) or self._fetched(version)

    def _folder(self, version: Version) -> Path:
        foreign = f"{version.created_at:.3f}.{_ADOPTED_FORM}"
        mark = foreign if version.foreign else version.digest[:16]
        name = version.name
        if not is_new_model_name(name):  # given by others, it may not be valid for a folder
            name = hashlib.sha256(name.encode()).hexdigest()
        return self._cache / f"{name}-{version.version}-{mark}"

    def _cached(self, version: Version) -> Mapping[str, bytes] | None:
        folder = self._folder(version)
        # The lock keeps the folder from being pruned meanwhile.
        with self._lock:
            if not folder.is_dir():
                return None
            try:
                files = _verified(version, folder)
            except ValueError:
                logger.warning("the cache of %s %s is damaged", version.name, version.version)
                shutil.rmtree(folder)
                return None
            os.utime(folder)
        return files

    def _fetched(self, version: Version) -> Mapping[str, bytes]:
        self._versions.reach_storage()
        with tempfile.TemporaryDirectory(dir=self._cache, prefix=".") as name:
            folder = self._versions.fetch(version, Path(name) / "fetched")
            if version.foreign:
                folder = self._adopt(folder, Path(name))
            files = _verified(version, folder)
            with self._lock:
                folder.rename(self._folder(version))
                self._prune(self._folder(version))
        return files

    def _adopt(self, fetched: Path, folder: Path) -> Path:
        """Have a worker convert a foreign version; raises ValueError or WorkerCrashed."""
        spec = {"source": str(fetched.resolve()), "allow_pickle": self._allow_pickle}
        job = self._workers.start("adopt", folder, spec, _ADOPTION)
        try:
            result = job.wait(_ADOPTION.seconds)
        except (JobFailed, WorkerCrashed, TimeoutError) as error:
            if isinstance(error, WorkerCrashed) and error.was_killed:
                raise
            job.stop("It took too long.")
            raise ValueError(f"reading it failed: {error or 'it took too long'}") from error
        assert isinstance(result, dict)
        if result["reason"] is not None:
            raise ValueError(result["reason"])
        return folder / "adopted"

    def _prune(self, latest: Path) -> None:
        folders = sorted(
            (path for path in self._cache.iterdir() if not path.name.startswith(".")),
            key=lambda path: path.stat().st_mtime,
        )
        for folder in folders[: -self._kept]:
            if folder != latest and folder not in self._pinned:
                shutil.rmtree(folder, ignore_errors=True)

    def _predictor(self, version: Version, files: Mapping[str, bytes]) -> Predictor:
        schema = decode(files["schema.json"])
        classifier: Classifier
        alternate = None
        if "model.onnx" in files:
            classes = schema.classes if version.foreign else None
            classifier = load_onnx(files["model.onnx"], classes)
            if "model.skops" in version.sha256 and "golden.npz" in files:
                alternate = self._alternate(version, schema)
        else:
            classifier = self._remote(version, schema, self._classifier_lost)
        try:
            if not version.foreign:
                replay_golden_rows(classifier, files["golden.npz"])
            predictor = Predictor(
                version.name,
                version.version,
                schema,
                classifier,
                self._limits,
                self._cores,
                alternate,
            )
            predictor.stored_bytes = sum(map(len, files.values()))
            trained_on = None
            if not version.foreign and reference.FILE in files:
                trained_on = reference.decode(files[reference.FILE], schema)
            predictor.warm()
            # Only now, so that the example is not counted.
            predictor.tally = self._tallies.open(version, schema, trained_on)
        except BaseException:
            if isinstance(classifier, RemoteClassifier):
                classifier.close()  # or its process would live as long as the error
            raise
        return predictor

    def _alternate(self, version: Version, schema: Schema) -> Alternate:
        """Prepare scikit-learn to answer beside the graph; its process starts when needed."""

        def start() -> RemoteClassifier:
            remote = self._remote(version, schema, lambda: None)
            try:
                replay_golden_rows(remote, self._files(version)["golden.npz"])
            except BaseException:
                remote.close()
                raise
            return remote

        return Alternate(_title(version), start, self._workers.idle_seconds)

    def _remote(
        self, version: Version, schema: Schema, lost: Callable[[], None]
    ) -> RemoteClassifier:
        return RemoteClassifier(
            self._workers,
            _title(version),
            # Read from disk when needed: it may be large, and is seldom needed.
            lambda: self._files(version)["model.skops"],
            [feature.name for feature in schema.features],
            lost,
            foreign=version.foreign,
        )


def _title(version: Version) -> str:
    return f"{version.name} version {version.version}"


def _key(version: Version) -> _Key:
    # After a deletion, MLflow may give the same number to another version.
    return version.name, version.version, version.created_at


def _verified(version: Version, folder: Path) -> dict[str, bytes]:
    """Read the artifacts; raises ValueError if one differs from the digest in the record."""
    if version.foreign:
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    files: dict[str, bytes] = {}
    for file, digest in version.sha256.items():
        if file not in ARTIFACTS:
            raise ValueError(f"its record names {clip(file, 80)}, which is no file of a version")
        path = folder / file
        if not path.is_file():
            raise ValueError(f"its file {file} is missing")
        files[file] = path.read_bytes()
        if hashlib.sha256(files[file]).hexdigest() != digest:
            raise ValueError(f"its file {file} is not the one that was registered (sha256)")
    return files
