"""The first model: small, trained where there is none yet, so that `/predict` answers at once."""

import logging
from dataclasses import replace

import orjson

from service.model import Registry
from service.trainer import Trainer
from service.uploads import Uploads

logger = logging.getLogger(__name__)


def make_starter(
    data_set: str, registry: Registry, uploads: Uploads, trainer: Trainer
) -> str | None:
    """Train a logistic regression on a built-in data set where no model exists; give its id.

    It is put in use only if nothing else has been meanwhile.
    """
    if not data_set or registry.newest_use() is not None:
        return None
    if registry.list_versions(None, 1, None).items:
        return None
    logger.info("there is no model yet: training one on %s", data_set)
    upload = uploads.open()
    request = {"name": data_set, "model_type": "LogisticRegression", "dataset": data_set}
    try:
        upload.rows.write_bytes(orjson.dumps(request))
        order, _ = uploads.training(upload, None, 0)
        return trainer.submit(replace(order, only_first=True), {"starter": "true"}).id
    except BaseException:
        uploads.close(upload)
        raise
