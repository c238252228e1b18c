"""Trains a small first model where there is none, so that `/predict` can answer at once."""

import logging
from dataclasses import replace

import orjson

from service.common.errors import VersionNotServable
from service.common.ports import Registry
from service.rollout.coordinator import Coordinator
from service.training.queue import TrainingQueue
from service.training.uploads import DryRun, Uploads

logger = logging.getLogger(__name__)

_MAX_WAITS = 12
"""Steps, some seconds apart, after which a replica that claimed the model is taken for gone."""


class Bootstrap:
    """Puts a starter model in use where no model has ever been in use."""

    def __init__(
        self,
        data_set: str,
        registry: Registry,
        coordinator: Coordinator,
        uploads: Uploads,
        training_queue: TrainingQueue,
    ) -> None:
        """`data_set`: a built-in one, whose name becomes the model's; empty: do nothing."""
        self._data_set = data_set
        self._registry = registry
        self._coordinator = coordinator
        self._uploads = uploads
        self._training_queue = training_queue
        self._training = ""
        self._waited = 0

    def step(self) -> bool:
        """Take the next step; return whether none is left.

        Raises RegistryUnavailable, and any error that keeps a version from being put in use.
        """
        if not self._data_set or self._registry.newest_use() is not None:
            return True
        if self._training and not self._training_queue.get(self._training).ended:
            return False
        # A training may have ended without its version in use, if MLflow failed in between.
        for version in self._registry.list_versions(self._data_set, 1, None).items:
            try:
                self._coordinator.use(version, "starter")
            except VersionNotServable as error:
                logger.warning("the starter model cannot be served: %s", error)
            return True
        if self._training or self._registry.list_versions(None, 1, None).items:
            return True
        if not self._registry.claim(self._data_set) and self._waited < _MAX_WAITS:
            self._waited += 1
            return False  # another replica is training it
        self._training = self._train()
        return False

    def _train(self) -> str:
        """Queue a logistic regression, which is put in use only if no model has been."""
        logger.info("there is no model yet: training one on %s", self._data_set)
        upload = self._uploads.open()
        request = {
            "name": self._data_set,
            "model_type": "LogisticRegression",
            "dataset": self._data_set,
        }
        try:
            upload.rows.write_bytes(orjson.dumps(request))
            checked = self._uploads.training(upload, None, 0)
            assert not isinstance(checked, DryRun)
            spec = replace(checked[0], only_first=True)
            return self._training_queue.submit(spec, {"starter": "true"}).id
        except BaseException:
            self._uploads.close(upload)
            raise
