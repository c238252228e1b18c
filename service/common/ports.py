"""The ports that the registry implements."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from service.common.domain import DataSet, NewVersion, Page, Training, Use, Version
from service.common.outcomes import OutcomeRecord, Receipt
from service.common.search import SearchState, Trial
from service.common.traffic import Traffic


class Versions(Protocol):
    """Models and their versions. Every method raises RegistryUnavailable when MLflow is down."""

    def list_versions(self, name: str | None, limit: int, page_token: str | None) -> Page[Version]:
        """Return versions with their aliases, the newest first.

        Raises InvalidRequest for an invalid token.
        """

    def get_version(self, name: str, version: int) -> Version:
        """Return one with its aliases; raises ModelNotFound or VersionNotFound."""

    def newest_version(self, name: str) -> Version:
        """Return the one with the highest number; raises ModelNotFound."""

    def version_of_alias(self, name: str, alias: str) -> Version:
        """Return the one that an alias names; raises ModelNotFound or AliasNotFound."""

    def find_again(self, use: Use) -> Version | None:
        """Return the version of an entry of the log by what it keeps when its model is renamed.

        None where it was deleted.
        """

    def version_of_training(self, name: str, training: str) -> Version | None:
        """Return the version that a training has registered under this name; None: none yet."""

    def add_version(self, new: NewVersion) -> Version:
        """Upload the artifacts and register them."""

    def keep_follow_error(self, version: Version, error: str) -> None:
        """Tag a version with why it was not put in use by its alias; empty: remove the tag."""

    def reach_storage(self) -> None:
        """Check that artifacts can be read; raises RegistryUnavailable soon if not."""

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download the artifacts below `folder`; return the folder that holds them."""

    def delete_version(self, name: str, version: int) -> None:
        """Delete one; raises ModelNotFound or VersionNotFound."""


class Uses(Protocol):
    """The log of use."""

    def newest_use(self) -> Use | None:
        """Return the newest entry that counts, or None before the first."""

    def commit_use(
        self,
        version: Version,
        by: str,
        expected_epoch: int | None = None,
        follows: str = "",
        traffic: Traffic | None = None,
        decision: str = "",
    ) -> Use:
        """Append an entry: this is the change. Its epoch is higher than all before it.

        With `expected_epoch` it counts only if that is the newest epoch; raises EpochConflict.
        `follows`: the alias of the model that is followed from then on; empty: none. `traffic`: the
        second version beside it. `decision`: why, where rules of traffic decided it.
        """

    def claim(self, name: str) -> bool:
        """Register a model without a version; return False where it is registered already."""


class Trainings(Protocol):
    """The record of trainings."""

    def open_training(self, training: Training, details: Mapping[str, str]) -> Training:
        """Record a new one; return it with the id that it got."""

    def update_training(self, training: Training) -> None:
        """Record its state, stage, progress and beat."""

    def beat(self, identifier: str, at: float) -> None:
        """Record that its owner still runs it, without any other change."""

    def record_result(
        self,
        training: Training,
        params: Mapping[str, str],
        data_set: DataSet,
        files: Path | None,
    ) -> None:
        """Record parameters, metrics, the data set as an input, and the files as artifacts."""

    def record_progress(
        self, identifier: str, stage: str, progress: float, search: SearchState | None
    ) -> None:
        """Record how far it has come, and nothing else; for a pod, which does not own it."""

    def record_trial(self, training: Training, trial: Trial, record: str | None) -> str:
        """Record a trial of a training's search as it is now; return the id of its record.

        `record` is that id if it was recorded before. Raises TrainingNotFound where the training or
        the record was deleted.
        """

    def trials_of(self, identifier: str) -> Mapping[str, Trial]:
        """Return the trials of a training's search by the ids of their records."""

    def close_training(self, training: Training) -> None:
        """Record its end; before that, that of each trial of its search that is still open."""

    def training_of_key(self, key: str) -> tuple[Training, str] | None:
        """Return the newest training whose details hold this `idempotency_key`, and its `request`.

        One that failed by the service's fault does not count, so that a repeated request is tried.
        """

    def get_training(self, identifier: str) -> Training:
        """Return one; raises TrainingNotFound."""

    def list_trainings(self, limit: int, page_token: str | None) -> Page[Training]:
        """Return trainings, the newest first."""

    def open_trainings(self) -> Sequence[Training]:
        """Return those that have not ended."""

    def failed_trainings(self, before: float) -> Sequence[Training]:
        """Return those that began before then, and failed or were cancelled."""

    def trainings_on(self, data_set: DataSet) -> Sequence[Training]:
        """Return those on these rows, and those that have not recorded their rows yet."""

    def delete_training(self, identifier: str) -> None:
        """Mark the run as deleted, for `mlflow gc` to free; raises TrainingNotFound."""


class RunFiles(Protocol):
    """Files of a training's run. Every method raises TrainingNotFound."""

    def read_file(self, identifier: str, path: str, most: int) -> bytes | None:
        """Return up to `most` bytes of a file; None where there is none."""

    def list_files(self, identifier: str, folder: str) -> Sequence[str]:
        """Return the paths of the files of a folder; none where there is no such folder."""

    def write_file(self, identifier: str, path: str, data: bytes) -> None:
        """Write a file, in place of one of that path."""

    def delete_file(self, identifier: str, path: str) -> None:
        """Delete a file permanently, if it exists."""

    def store_folder(self, identifier: str, folder: Path, path: str) -> None:
        """Write the files of a local folder, and of those in it, below `path`."""

    def fetch_folder(self, identifier: str, path: str, folder: Path) -> None:
        """Copy the files below `path` to a local folder; raises RegistryUnavailable, too."""


class DataSets(Protocol):
    """Uploaded data sets."""

    def add_data_set(self, data_set: DataSet, parquet: Path) -> DataSet:
        """Keep the rows; the same content under the same name again changes nothing."""

    def append_rows(self, data_set: DataSet, parquet: Path, base: DataSet, key: str) -> DataSet:
        """Keep the rows of `base` with others behind them, as the next content of its name.

        `key` identifies the request. Raises DataSetBusy, and keeps nothing, where `base` is not the
        newest of its name, or may soon not be.
        """

    def appended_by(self, name: str, key: str) -> DataSet | None:
        """Return the content of a data set that the request of this key made; None if none did."""

    def get_data_set(self, name: str) -> DataSet:
        """Return the newest of that name; raises DataSetNotFound."""

    def list_data_sets(self) -> Sequence[DataSet]:
        """Return the newest of each name, by name, without those whose record is unreadable."""

    def fetch_data_set(self, data_set: DataSet, folder: Path) -> Path:
        """Download the rows below `folder`; return the Parquet file."""

    def delete_data_set(self, name: str) -> None:
        """Delete all of that name; raises DataSetNotFound."""

    def old_data_sets(self, before: float) -> Sequence[DataSet]:
        """Return all that were uploaded last before then, older ones of a name too; no columns."""

    def delete_rows(self, data_set: DataSet, before: float) -> None:
        """Delete one with its rows, permanently, unless it was uploaded again since then."""


class Outcomes(Protocol):
    """How right versions were, by version, day and replica."""

    def write_outcomes(self, record: OutcomeRecord, receipt: Receipt | None) -> OutcomeRecord:
        """Write a record with a receipt in one step; return it with its id.

        One with an id replaces what was written under it; its receipts stay.
        """

    def receipt_of_key(self, key: str) -> Receipt | None:
        """Return the receipt of the request that had this key, or None."""

    def list_outcomes(self, since: str, of: str | None = None) -> Sequence[OutcomeRecord]:
        """Return the records from a day on, of one version or all; unreadable ones are left out."""


class Registry(Versions, Uses, Trainings, RunFiles, DataSets, Outcomes, Protocol):
    """All that is kept in MLflow."""

    def close(self) -> None:
        """Close the connection."""
