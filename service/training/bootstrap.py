"""The first model: small, trained where there is none yet, so that `/predict` answers at once."""

import logging
from dataclasses import replace

import orjson

from service.common.domain import Registry
from service.common.errors import VersionNotServable
from service.rollout.coordinator import Coordinator
from service.training.queue import TrainingQueue
from service.training.uploads import Uploads

logger = logging.getLogger(__name__)

_PATIENCE = 12
"""Steps, some seconds apart, after which whoever claimed the starter model must be gone."""


class Bootstrap:
    """Sees to it that something is in use where nothing has ever been."""

    def __init__(
        self,
        data_set: str,
        registry: Registry,
        replicas: Coordinator,
        uploads: Uploads,
        training_queue: TrainingQueue,
    ) -> None:
        """Use the built-in `data_set`, whose name is the model's too; empty: do nothing."""
        self._data_set = data_set
        self._registry = registry
        self._replicas = replicas
        self._uploads = uploads
        self._trainer = training_queue
        self._training = ""
        self._waited = 0

    def step(self) -> bool:
        """Do what there is to do now; True if nothing is left.

        Raises RegistryUnavailable and whatever keeps a version from being put in use.
        """
        if not self._data_set or self._registry.newest_use() is not None:
            return True
        if self._training and not self._trainer.get(self._training).ended:
            return False
        # A training may end without its version in use: where MLflow went down in between.
        for version in self._registry.list_versions(self._data_set, 1, None).items:
            try:
                self._replicas.use(version, "starter")
            except VersionNotServable as error:
                logger.warning("the starter model cannot be served: %s", error)
            return True
        if self._training or self._registry.list_versions(None, 1, None).items:
            return True
        if not self._registry.claim(self._data_set) and self._waited < _PATIENCE:
            self._waited += 1
            return False  # another replica is at it
        self._training = self._train()
        return False

    def _train(self) -> str:
        """Begin to train a logistic regression; it is put in use only if nothing has been."""
        logger.info("there is no model yet: training one on %s", self._data_set)
        upload = self._uploads.open()
        request = {
            "name": self._data_set,
            "model_type": "LogisticRegression",
            "dataset": self._data_set,
        }
        try:
            upload.rows.write_bytes(orjson.dumps(request))
            order, _ = self._uploads.training(upload, None, 0)
            order = replace(order, only_first=True)
            return self._trainer.submit(order, {"starter": "true"}).id
        except BaseException:
            self._uploads.close(upload)
            raise
