"""Models and their versions, in MLflow's model registry."""

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from service.common.domain import (
    FIRST_ARTIFACTS,
    LOG_OF_USE,
    NewVersion,
    Page,
    Use,
    Version,
    is_model_name,
)
from service.common.errors import (
    AliasNotFound,
    ModelNotFound,
    VersionNotFound,
    VersionNotServable,
    clip,
)
from service.registry.aliases import Aliases
from service.registry.connection import (
    Connection,
    RegistryPart,
    checked_page_token,
    page_token_of,
)
from service.registry.download import BOUNDS, NotFetchable, download
from service.registry.errors import EXISTS, INVALID, NOT_FOUND, unless_it_exists
from service.registry.mlmodel import write_mlmodel
from service.registry.name_filter import is_pattern, named

_DIGEST = "sha256."
_LATER_DIGEST = "later.sha256."
"""Before the names of files that the first releases do not know: they refuse a version for a digest
of such a file, and never look at these."""
_NEWEST = ["version_number DESC"]
_ANY = f"name != '{LOG_OF_USE}'"
_RUN_ID = re.compile("[0-9a-zA-Z_-]+")
_MOST = 1000
"""Versions that are read with one call."""
_FOLLOW_ERROR = "follow_error"
_LONGEST_TAG = 1000


class MlflowVersions(RegistryPart):
    """The port `Versions` over a connection."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._aliases = Aliases(connection)

    def list_versions(self, name: str | None, limit: int, page_token: str | None) -> Page[Version]:
        """Return versions, the newest first; raises InvalidRequest for an invalid token."""
        if name == LOG_OF_USE:
            return Page([])
        wanted = named(name) if name else _ANY
        with self._connection.calls():
            versions = self._client.search_model_versions(
                wanted,
                max_results=limit,
                order_by=["creation_timestamp DESC", "name ASC", "version_number DESC"],
                page_token=checked_page_token(page_token),
            )
        found = [_version(item) for item in versions if name in (None, item.name)]
        aliases = self._aliases.of({version.name for version in found})
        return Page(
            [replace(one, aliases=aliases.get((one.name, one.version), ())) for one in found],
            page_token_of(versions),
        )

    def get_version(self, name: str, version: int) -> Version:
        """Return one; raises ModelNotFound or VersionNotFound."""
        if name == LOG_OF_USE:
            raise ModelNotFound(name)
        with self._connection.calls(VersionNotFound(name, version)):
            try:
                return _version(self._client.get_model_version(name, str(version)))
            except Exception as error:
                self._raise_if_no_model(name, error)
                raise

    def _raise_if_no_model(self, name: str, error: Exception) -> None:
        from mlflow.exceptions import MlflowException

        if isinstance(error, MlflowException) and error.error_code == NOT_FOUND:
            with self._connection.calls(ModelNotFound(name)):
                self._client.get_registered_model(name)

    def newest_version(self, name: str) -> Version:
        """Return the one with the highest number; raises ModelNotFound."""
        if name == LOG_OF_USE:
            raise ModelNotFound(name)
        with self._connection.calls():
            versions = self._client.search_model_versions(
                named(name), max_results=_MOST if is_pattern(name) else 1, order_by=_NEWEST
            )
        for item in versions:
            if item.name == name:
                return _version(item)
        raise ModelNotFound(name)

    def find_again(self, use: Use) -> Version | None:
        """Return the version of an entry of the log by what it keeps when its model is renamed.

        None where it was deleted.
        """
        wanted = f"run_id = '{use.run_id}'" if _RUN_ID.fullmatch(use.run_id) else _ANY
        token = None
        while True:
            with self._connection.calls():
                page = self._client.search_model_versions(
                    wanted, max_results=_MOST, order_by=_NEWEST, page_token=token
                )
            for item in page:
                version = _version(item)
                if version.name != LOG_OF_USE and use.is_of(version):
                    return version
            if not page.token:
                return None
            token = page.token

    def version_of_training(self, name: str, training: str) -> Version | None:
        """Return the version that a training has registered under this name; None: none yet."""
        with self._connection.calls():
            page = self._client.search_model_versions(
                f"name = '{name}' and run_id = '{training}'", max_results=1, order_by=_NEWEST
            )
        return _version(page[0]) if page else None

    def version_of_alias(self, name: str, alias: str) -> Version:
        """Return the one that an alias names; raises ModelNotFound or AliasNotFound."""
        from mlflow.exceptions import MlflowException

        if name == LOG_OF_USE:
            raise AliasNotFound(name, alias)
        with self._connection.calls(ModelNotFound(name)):
            try:
                version = _version(self._client.get_model_version_by_alias(name, alias))
            except MlflowException as error:
                if error.error_code == INVALID:
                    raise AliasNotFound(name, alias) from error
                raise
        if alias not in version.aliases:  # `latest`, which MLflow takes for the newest version
            raise AliasNotFound(name, alias)
        return version

    def add_version(self, new: NewVersion) -> Version:
        """Upload the artifacts and register them."""
        from mlflow.entities import LoggedModelOutput, Metric

        client = self._client
        now = int(time.time() * 1000)
        self._connection.select()
        with self._connection.calls():
            model = client.create_logged_model(
                self._connection.experiment("trainings"),
                name=new.name,
                source_run_id=new.run_id,
                params={key: str(value) for key, value in new.params.items()},
                model_type=new.model_type,
            )
            write_mlmodel(new, model.model_id)
            client.log_model_artifacts(model.model_id, str(new.folder))
            client.log_outputs(new.run_id, [LoggedModelOutput(model.model_id, step=0)])
            client.log_batch(
                new.run_id,
                metrics=[
                    Metric(key, value, now, 0, model_id=model.model_id)
                    for key, value in new.metrics.items()
                ],
            )
            client.finalize_logged_model(model.model_id, "READY")
            with unless_it_exists():
                client.create_registered_model(new.name)
            tags = {
                "model_type": new.model_type,
                "params": orjson.dumps(dict(new.params)).decode(),
                "metrics": orjson.dumps(dict(new.metrics)).decode(),
                **{_digest_tag(file): digest for file, digest in new.sha256.items()},
            }
            created = client.create_model_version(
                new.name,
                source=f"models:/{model.model_id}",
                run_id=new.run_id,
                tags=tags,
                description=_sentence(new),
                await_creation_for=0,
                model_id=model.model_id,
            )
        return _version(created, tags)

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download the artifacts below `folder`; return the folder that holds them.

        Raises VersionNotServable where they are outside of MLflow's storage, missing, or more than
        `BOUNDS` allow.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with self._connection.calls(
            VersionNotServable(version.name, version.version, "its files are missing")
        ):
            source = self._client.get_model_version_download_uri(version.name, str(version.version))
            try:
                download(self._connection.source(source), folder, BOUNDS)
            except NotFetchable as error:
                raise VersionNotServable(version.name, version.version, str(error)) from error
        return folder

    def delete_version(self, name: str, version: int) -> None:
        """Delete one; raises ModelNotFound or VersionNotFound."""
        self.get_version(name, version)
        with self._connection.calls(VersionNotFound(name, version)):
            self._client.delete_model_version(name, str(version))

    def keep_follow_error(self, version: Version, error: str) -> None:
        """Tag a version with why it was not put in use by its alias; empty: remove the tag."""
        with self._connection.calls(VersionNotFound(version.name, version.version)):
            if error:
                self._client.set_model_version_tag(
                    version.name, str(version.version), _FOLLOW_ERROR, clip(error, _LONGEST_TAG)
                )
            else:
                self._client.delete_model_version_tag(
                    version.name, str(version.version), _FOLLOW_ERROR
                )

    def claim(self, name: str) -> bool:
        """Register a model without a version; return False where it is registered already."""
        from mlflow.exceptions import MlflowException

        with self._connection.calls():
            try:
                self._client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != EXISTS:
                    raise
                return False
        return True


def refusal_of_name(name: str) -> str | None:
    """Return why no version of a model of that name can be put in use; None where it can be.

    The log of use names a version by an address, `models:/name/version`, which MLflow parses.
    """
    address = urlsplit(f"models:/{name}/1", allow_fragments=False)
    if is_model_name(name) and address.path == f"/{name}/1":
        return None
    return "MLflow finds no version of a model of that name by its address; rename the model there"


def _digest_tag(file: str) -> str:
    return f"{_DIGEST if file in FIRST_ARTIFACTS else _LATER_DIGEST}{file}"


def _sentence(new: NewVersion) -> str:
    accuracy = new.metrics.get("accuracy")
    correct = "" if accuracy is None else f", {accuracy:.1%} of the held-out rows correct"
    backend = "ONNX Runtime" if "model.onnx" in new.sha256 else "scikit-learn"
    return f"{new.model_type}{correct}; served by {backend}."


def _version(item: Any, tags: dict[str, str] | None = None) -> Version:
    tags = dict(item.tags) if tags is None else tags
    refusal = None
    if item.status not in ("READY", None):
        refusal = f"its registration is {str(item.status).lower().replace('_', ' ')}"
    else:
        refusal = refusal_of_name(item.name)
    return Version(
        name=item.name,
        version=int(item.version),
        created_at=item.creation_timestamp / 1000,
        run_id=item.run_id or "",
        model_type=tags.get("model_type", ""),
        params=_mapping(tags.get("params", "")),
        metrics=_mapping(tags.get("metrics", "")),
        sha256={
            key.removeprefix(prefix): value
            for key, value in tags.items()
            for prefix in (_DIGEST, _LATER_DIGEST)
            if key.startswith(prefix)
        },
        aliases=tuple(sorted(item.aliases or ())),
        follow_error=tags.get(_FOLLOW_ERROR, ""),
        refusal=refusal,
    )


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
