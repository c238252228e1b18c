"""Fakes of the ports in `domain`, which pass the same contract tests as the real ones."""

import hashlib
import itertools
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from service.common.domain import LOG_OF_USE, DataSet, NewVersion, Page, Training, Use, Version
from service.common.errors import (
    AliasNotFound,
    DataSetBusy,
    DataSetNotFound,
    EpochConflict,
    InvalidRequest,
    ModelNotFound,
    RegistryUnavailable,
    TrainingNotFound,
    VersionNotFound,
    VersionNotServable,
)
from service.common.outcomes import OutcomeRecord, Receipt
from service.common.search import SearchState, Trial
from service.common.traffic import Traffic
from service.registry.download import BOUNDS, FolderSource, NotFetchable, download
from service.registry.versions import refusal_of_name

T = TypeVar("T")


class FakeRegistry:
    """A registry in memory with files in a folder; `down` makes calls fail as MLflow's would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.down = False
        self.storage_down = False
        self.listings = 0
        self.alias_questions = 0
        self.written = 0
        self.versions: dict[tuple[str, int], Version] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.uses: list[Use] = []
        self.claimed: set[str] = set()
        self.trainings: dict[str, Training] = {}
        self.trials: dict[str, tuple[str, Trial]] = {}
        self.trial_writes = 0
        self.details: dict[str, Mapping[str, str]] = {}
        self.results: dict[str, tuple[Mapping[str, str], DataSet, list[str]]] = {}
        self.data_sets: list[DataSet] = []
        self.uploaded: dict[str, float] = {}
        self.numbers: dict[str, int] = {}
        self.outcomes: dict[str, OutcomeRecord] = {}
        self.receipts: dict[str, Receipt] = {}
        self.appended: dict[tuple[str, str], DataSet] = {}
        self._lock = threading.Lock()
        self._clock = itertools.count(1)

    def copy(self, folder: Path) -> "FakeRegistry":
        """Return a registry of its own, in another folder, that holds the same."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = FakeRegistry(folder)
        for name, held in vars(self).items():
            if isinstance(held, dict | list | set):
                setattr(other, name, held.copy())
        return other

    def _look(self) -> None:
        if self.down:
            raise RegistryUnavailable("it was switched off by a test.")

    def _now(self) -> float:
        # Distinct and increasing, so that there is always exactly one newest.
        return time.time() + next(self._clock) / 1000

    def list_versions(self, name: str | None, limit: int, page_token: str | None) -> Page[Version]:
        self._look()
        self.listings += 1
        found = [
            replace(one, aliases=self._aliases(one.name, one.version))
            for one in list(self.versions.values())
            if name in (None, one.name)
        ]
        found.sort(key=lambda version: version.created_at, reverse=True)
        return _page(found, limit, page_token)

    def get_version(self, name: str, version: int) -> Version:
        self._look()
        if (name, version) in self.versions:
            return replace(self.versions[name, version], aliases=self._aliases(name, version))
        if name not in self.numbers:
            raise ModelNotFound(name)
        raise VersionNotFound(name, version)

    def _aliases(self, name: str, version: int) -> tuple[str, ...]:
        named = [alias for (n, alias), v in self.aliases.items() if (n, v) == (name, version)]
        return tuple(sorted(named))

    def newest_version(self, name: str) -> Version:
        self._look()
        found = [v for v in self.versions.values() if v.name == name]
        if not found:
            raise ModelNotFound(name)
        return max(found, key=lambda version: version.version)

    def version_of_training(self, name: str, training: str) -> Version | None:
        self._look()
        found = [v for v in self.versions.values() if (v.name, v.run_id) == (name, training)]
        return found[-1] if found else None

    def version_of_alias(self, name: str, alias: str) -> Version:
        self._look()
        self.alias_questions += 1
        if name not in self.numbers:
            raise ModelNotFound(name)
        if (name, alias) not in self.aliases:
            raise AliasNotFound(name, alias)
        return self.get_version(name, self.aliases[name, alias])

    def add_version(self, new: NewVersion) -> Version:
        self._look()
        with self._lock:
            number = self.numbers[new.name] = self.numbers.get(new.name, 0) + 1
        version = Version(
            name=new.name,
            version=number,
            created_at=self._now(),
            run_id=new.run_id,
            model_type=new.model_type,
            params=dict(new.params),
            metrics=dict(new.metrics),
            sha256=dict(new.sha256),
        )
        shutil.copytree(new.folder, self.files(version))
        self.versions[new.name, number] = version
        return version

    def files(self, version: Version) -> Path:
        """Return the folder of a version's artifacts."""
        return self._folder(version.name) / str(version.version)

    def _folder(self, name: str) -> Path:
        return self.folder / "versions" / hashlib.sha256(name.encode()).hexdigest()

    def reach_storage(self) -> None:
        self._look()
        if self.storage_down:
            raise RegistryUnavailable("its storage was switched off by a test.")

    def fetch(self, version: Version, folder: Path) -> Path:
        self._look()
        try:
            download(FolderSource(self.files(version)), folder, BOUNDS)
        except NotFetchable as error:
            raise VersionNotServable(version.name, version.version, str(error)) from error
        return folder

    def delete_version(self, name: str, version: int) -> None:
        self.get_version(name, version)
        del self.versions[name, version]
        self.aliases = {key: v for key, v in self.aliases.items() if (key[0], v) != (name, version)}

    def keep_follow_error(self, version: Version, error: str) -> None:
        self._look()
        if (version.name, version.version) not in self.versions:
            raise VersionNotFound(version.name, version.version)
        kept = self.versions[version.name, version.version]
        self.versions[version.name, version.version] = replace(kept, follow_error=error)

    def find_again(self, use: Use) -> Version | None:
        self._look()
        return next((one for one in self.versions.values() if use.is_of(one)), None)

    def rename_model(self, name: str, new_name: str) -> None:
        """Rename a model as MLflow's page does."""
        for version in [one for one in self.versions.values() if one.name == name]:
            renamed = replace(version, name=new_name, refusal=refusal_of_name(new_name))
            if self.files(version).exists():
                self.files(renamed).parent.mkdir(exist_ok=True)
                self.files(version).rename(self.files(renamed))
            del self.versions[name, version.version]
            self.versions[new_name, version.version] = renamed
        self.numbers[new_name] = self.numbers.pop(name)
        self.aliases = {
            (new_name if key[0] == name else key[0], key[1]): v for key, v in self.aliases.items()
        }

    def delete_model(self, name: str) -> None:
        """Delete a model with its versions as MLflow's page does."""
        self.versions = {key: one for key, one in self.versions.items() if one.name != name}
        shutil.rmtree(self._folder(name), ignore_errors=True)
        self.aliases = {key: v for key, v in self.aliases.items() if key[0] != name}
        del self.numbers[name]

    def newest_use(self) -> Use | None:
        self._look()
        return self.uses[-1] if self.uses else None

    def commit_use(
        self,
        version: Version,
        by: str,
        expected_epoch: int | None = None,
        follows: str = "",
        traffic: Traffic | None = None,
        decision: str = "",
    ) -> Use:
        self._look()
        with self._lock:
            if expected_epoch not in (None, len(self.uses)):
                raise EpochConflict(expected_epoch, len(self.uses))
            use = Use.begin(
                len(self.uses) + 1, version, by, self._now(), follows, traffic, decision
            )
            self.uses.append(use)
        return use

    def claim(self, name: str) -> bool:
        self._look()
        with self._lock:
            new = name not in self.claimed and not any(key[0] == name for key in self.versions)
            self.claimed.add(name)
        return new

    def open_training(self, training: Training, details: Mapping[str, str]) -> Training:
        self._look()
        opened = replace(training, id=uuid.uuid4().hex, created_at=self._now())
        self.trainings[opened.id] = opened
        self.details[opened.id] = dict(details)
        return opened

    def update_training(self, training: Training) -> None:
        self._look()
        self.trainings[training.id] = training

    def record_progress(
        self, identifier: str, stage: str, progress: float, search: SearchState | None
    ) -> None:
        training = self.get_training(identifier)
        search = training.search if search is None else search
        self.trainings[identifier] = replace(
            training, stage=stage, progress=progress, search=search
        )

    def beat(self, identifier: str, at: float) -> None:
        self.trainings[identifier] = replace(self.get_training(identifier), beat_at=at)

    def record_result(
        self,
        training: Training,
        params: Mapping[str, str],
        data_set: DataSet,
        files: Path | None,
    ) -> None:
        self._look()
        names = sorted(path.name for path in files.iterdir()) if files else []
        self.results[training.id] = (dict(params), data_set, names)
        if files is not None:
            shutil.copytree(files, self.report(training.id), dirs_exist_ok=True)

    def report(self, training: str) -> Path:
        """Return the folder of the files that a training recorded."""
        return self.folder / "reports" / training

    def read_file(self, identifier: str, path: str, most: int) -> bytes | None:
        source = self._files_of_run(identifier)
        return b"".join(source.read(path))[:most] if source.has(path) else None

    def list_files(self, identifier: str, folder: str) -> Sequence[str]:
        return list(self._files_of_run(identifier).files_of(folder))

    def write_file(self, identifier: str, path: str, data: bytes) -> None:
        source = self._files_of_run(identifier)
        self.written += 1
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(path).name
            file.write_bytes(data)
            source.write(file, str(Path(path).parent))

    def delete_file(self, identifier: str, path: str) -> None:
        self._files_of_run(identifier).delete(path)

    def store_folder(self, identifier: str, folder: Path, path: str) -> None:
        self._files_of_run(identifier)
        shutil.copytree(folder, self.report(identifier) / path, dirs_exist_ok=True)

    def fetch_folder(self, identifier: str, path: str, folder: Path) -> None:
        self._files_of_run(identifier)
        download(FolderSource(self.report(identifier) / path), folder, BOUNDS)

    def _files_of_run(self, identifier: str) -> FolderSource:
        self.get_training(identifier)
        self.reach_storage()
        return FolderSource(self.report(identifier))

    def record_trial(self, training: Training, trial: Trial, record: str | None) -> str:
        self.get_training(training.id)
        self.trial_writes += 1
        identifier = record or uuid.uuid4().hex
        self.trials[identifier] = (training.id, trial)
        return identifier

    def trials_of(self, identifier: str) -> Mapping[str, Trial]:
        self.get_training(identifier)
        return {key: trial for key, (parent, trial) in self.trials.items() if parent == identifier}

    def close_training(self, training: Training) -> None:
        self._look()
        for identifier, (parent, trial) in self.trials.items():
            if parent == training.id and trial.state == "running":
                ended = replace(trial, state="pruned", ended_at=time.time())
                self.trials[identifier] = (parent, ended)
        self.trainings[training.id] = replace(
            training, finished_at=training.finished_at or time.time()
        )

    def training_of_key(self, key: str) -> tuple[Training, str] | None:
        self._look()
        for identifier in reversed(self.trainings):
            if self.details[identifier].get("idempotency_key") == key:
                if self.trainings[identifier].fault == "service":
                    return None
                return self.trainings[identifier], self.details[identifier].get("request", "")
        return None

    def get_training(self, identifier: str) -> Training:
        self._look()
        if identifier not in self.trainings:
            raise TrainingNotFound(identifier)
        return self.trainings[identifier]

    def list_trainings(self, limit: int, page_token: str | None) -> Page[Training]:
        self._look()
        return _page(list(reversed(self.trainings.values())), limit, page_token)

    def open_trainings(self) -> Sequence[Training]:
        self._look()
        return [training for training in self.trainings.values() if not training.ended]

    def add_data_set(self, data_set: DataSet, parquet: Path) -> DataSet:
        self._look()
        for known in reversed(self.data_sets):
            if known.name == data_set.name:
                self.uploaded[known.id] = self._now()
                same = (known.sha256, known.target, known.notes)
                if same == (data_set.sha256, data_set.target, data_set.notes):
                    return known
                break
        return self._keep(data_set, parquet)

    def append_rows(self, data_set: DataSet, parquet: Path, base: DataSet, key: str) -> DataSet:
        self._look()
        with self._lock:
            if self.get_data_set(data_set.name).id != base.id:
                raise DataSetBusy(data_set.name)
            kept = self.appended[data_set.name, key] = self._keep(data_set, parquet)
        return kept

    def appended_by(self, name: str, key: str) -> DataSet | None:
        self._look()
        return self.appended.get((name, key))

    def _keep(self, data_set: DataSet, parquet: Path) -> DataSet:
        kept = replace(data_set, id=uuid.uuid4().hex)
        folder = self.folder / "datasets" / kept.id
        folder.mkdir(parents=True)
        shutil.copy(parquet, folder / "rows.parquet")
        self.data_sets.append(kept)
        self.uploaded[kept.id] = self._now()
        return kept

    def get_data_set(self, name: str) -> DataSet:
        self._look()
        for data_set in reversed(self.data_sets):
            if data_set.name == name:
                return data_set
        raise DataSetNotFound(name)

    def list_data_sets(self) -> Sequence[DataSet]:
        self._look()
        newest = {data_set.name: data_set for data_set in self.data_sets}
        return [newest[name] for name in sorted(newest)]

    def fetch_data_set(self, data_set: DataSet, folder: Path) -> Path:
        self._look()
        if data_set.id not in [known.id for known in self.data_sets]:
            raise DataSetNotFound(data_set.name)
        folder.mkdir(parents=True, exist_ok=True)
        source = self.folder / "datasets" / data_set.id / "rows.parquet"
        return Path(shutil.copy(source, folder / "rows.parquet"))

    def delete_data_set(self, name: str) -> None:
        self.get_data_set(name)
        self.data_sets = [known for known in self.data_sets if known.name != name]

    def failed_trainings(self, before: float) -> Sequence[Training]:
        self._look()
        return [
            training
            for training in self.trainings.values()
            if training.state in ("failed", "cancelled") and training.created_at < before
        ]

    def trainings_on(self, data_set: DataSet) -> Sequence[Training]:
        self._look()
        return [
            training
            for training in self.trainings.values()
            if training.data_set == data_set.name
            and (training.id not in self.results
                 or self.results[training.id][1].sha256 == data_set.sha256)
        ]  # fmt: skip

    def delete_training(self, identifier: str) -> None:
        self.get_training(identifier)
        del self.trainings[identifier]
        self.trials = {key: one for key, one in self.trials.items() if one[0] != identifier}

    def old_data_sets(self, before: float) -> Sequence[DataSet]:
        self._look()
        return [one for one in self.data_sets if self.uploaded[one.id] < before]

    def delete_rows(self, data_set: DataSet, before: float) -> None:
        self._look()
        if self.uploaded[data_set.id] < before:
            self.data_sets = [known for known in self.data_sets if known.id != data_set.id]
            shutil.rmtree(self.folder / "datasets" / data_set.id, ignore_errors=True)

    def write_outcomes(self, record: OutcomeRecord, receipt: Receipt | None) -> OutcomeRecord:
        self._look()
        with self._lock:
            kept = replace(record, id=record.id or uuid.uuid4().hex)
            self.outcomes[kept.id] = kept
            if receipt is not None:
                self.receipts[receipt.key] = receipt
        return kept

    def receipt_of_key(self, key: str) -> Receipt | None:
        self._look()
        return self.receipts.get(key)

    def list_outcomes(self, since: str, of: str | None = None) -> Sequence[OutcomeRecord]:
        self._look()
        with self._lock:
            records = list(self.outcomes.values())
        return [one for one in records if one.day >= since and of in (None, one.of)]

    def close(self) -> None:
        """Do nothing, as nothing is open."""


def make_version(**changes: object) -> Version:
    """Return a made-up model version, for tests that only pass it on."""
    version = Version(LOG_OF_USE + "-not", 1, 0.0)
    return replace(version, **changes)  # type: ignore[arg-type]


def _page(items: list[T], limit: int, page_token: str | None) -> Page[T]:
    if page_token is not None and not page_token.isdigit():
        raise InvalidRequest("page_token is not one that this service gave.")
    start = int(page_token or 0)
    more = start + limit < len(items)
    return Page(items[start : start + limit], str(start + limit) if more else None)
