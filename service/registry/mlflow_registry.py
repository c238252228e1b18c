"""The whole registry: its parts over one connection."""

from pathlib import Path

from service.registry.connection import Connection
from service.registry.data_sets import MlflowDataSets
from service.registry.outcomes import MlflowOutcomes
from service.registry.run_files import MlflowRunFiles
from service.registry.trainings import MlflowTrainings
from service.registry.use_log import MlflowUses
from service.registry.versions import MlflowVersions


class MlflowRegistry(
    MlflowVersions, MlflowUses, MlflowTrainings, MlflowRunFiles, MlflowDataSets, MlflowOutcomes
):
    """The port `Registry` on MLflow: a server over HTTP, or a store in the data folder."""

    def __init__(self, uri: str, data_dir: Path) -> None:
        super().__init__(Connection(uri, data_dir))

    def reach_storage(self) -> None:
        """Check that artifacts can be read; raises RegistryUnavailable soon if not."""
        self._connection.reach_storage()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
