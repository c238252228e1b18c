"""What `mlflow deployments` and `mlflow.deployments.get_deploy_client` call.

A deployment is the model in use: it has the model's name, and there is one at a time.
"""

import re
from typing import Any, NoReturn
from urllib.parse import quote

from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from mlflow_desafio.api import KEY, Api, Reply

_FLAVOR = "desafio"
"""MLflow's command line prints the flavor of what it creates; the service chooses how to serve."""

_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+|latest)|@(?P<alias>[^/@]+))")

_PAYLOADS = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""The keys of which a body of MLflow's scoring protocol has exactly one."""


def target_help() -> str:
    """Return what `mlflow deployments help -t desafio` prints."""
    return f"""\
Target: desafio:URL, such as desafio:http://127.0.0.1:8000. The environment variable {KEY}
holds the API key, where the service asks for one: `admin` to create and update, `predict` else.

A deployment is the model in use, and is called by the model's name. There is one at a time.

  create, update   put a version in use in every replica: -m models:/NAME/VERSION,
                   models:/NAME/latest or models:/NAME@ALIAS; no -C options
  get              what is in use, and what each replica confirms
  list             every version that the service lists, with `in_use`
  predict          rows to the model in use
  delete           refused, as the service always keeps one version in use
  run-local        refused: start the service, then create

Example:
  mlflow deployments create -t desafio:http://127.0.0.1:8000 --name iris -m models:/iris/3
"""


def run_local(name: str, model_uri: str, flavor: str | None = None, config: Any = None) -> NoReturn:
    """Raise MlflowException: the service runs by its own command, not from a model's URI."""
    del flavor, config
    raise MlflowException(
        f"This target does not run {name} from {model_uri} locally. Start the service "
        "(`python -m service`, MLflow's store by SERVICE_MLFLOW_URI), then `mlflow deployments "
        "create -t desafio:http://127.0.0.1:8000 …`.",
        codes.NOT_IMPLEMENTED,
    )


class DesafioDeploymentClient(BaseDeploymentClient):  # type: ignore[misc]
    """Manages the model in use of one service."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        self._api = Api(target_uri)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: dict[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Put a version in use in every replica, and return what the service confirms.

        A replica that has not confirmed yet is named in `missing`.
        """
        del flavor
        _refuse_options(config, endpoint)
        body = _wanted(model_uri)
        if body["name"] != name:
            raise MlflowException(
                f"A deployment has the name of its model: --name {body['name']}, not {name}.",
                codes.INVALID_PARAMETER_VALUE,
            )
        reply = self._api.post("/use-model", body)
        return {"flavor": _FLAVOR, **reply.body}

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: dict[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Put another version in use; the same call as to create."""
        if model_uri is None:
            raise MlflowException(
                f"Nothing to update: say which version with -m models:/{name}/VERSION.",
                codes.INVALID_PARAMETER_VALUE,
            )
        return self.create_deployment(name, model_uri, flavor, config, endpoint)

    def delete_deployment(
        self, name: str, config: dict[str, Any] | None = None, endpoint: str | None = None
    ) -> NoReturn:
        """Raise MlflowException, as the service always keeps one version in use."""
        del config, endpoint
        raise MlflowException(
            f"{name} cannot be deleted: the service always keeps one version in use. "
            "Put another one in use (`mlflow deployments update`) instead.",
            codes.INVALID_STATE,
        )

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Return every version that the service lists, with `in_use`."""
        _refuse_options(None, endpoint)
        versions: list[dict[str, Any]] = []
        path = "/models"
        while True:
            page = self._api.get(path).body
            versions += page["models"]
            if not page.get("next_page_token"):
                return versions
            path = f"/models?page_token={quote(page['next_page_token'], safe='')}"

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """Return what is in use; raise MlflowException if that is another model."""
        _refuse_options(None, endpoint)
        use: dict[str, Any] = self._api.get("/use-model").body
        if use["name"] != name:
            raise MlflowException(
                f"{name} is not in use: {use['name']} version {use['version']} is.",
                codes.RESOURCE_DOES_NOT_EXIST,
            )
        return {"flavor": _FLAVOR, **use}

    def predict(
        self,
        deployment_name: str | None = None,
        inputs: Any = None,
        endpoint: str | None = None,
    ) -> PredictionsResponse:
        """Predict by the model in use.

        The inputs are a DataFrame, a body of MLflow's scoring protocol, a dict of columns, or
        rows. Raises MlflowException where another model than the deployment's answered.
        """
        _refuse_options(None, endpoint)
        reply = self._api.post("/invocations", _payload(inputs))
        if deployment_name is not None:
            _require_model(reply, deployment_name)
        return PredictionsResponse(reply.body)


def _wanted(model_uri: str) -> dict[str, Any]:
    """Return the body for `/use-model` of a model's URI."""
    found = _MODEL_URI.fullmatch(model_uri)
    if found is None:
        raise MlflowException(
            f"{model_uri!r} does not name a registered version: write it as models:/NAME/VERSION, "
            "models:/NAME/latest or models:/NAME@ALIAS.",
            codes.INVALID_PARAMETER_VALUE,
        )
    if found["alias"]:
        return {"name": found["name"], "alias": found["alias"]}
    if found["version"] == "latest":
        return {"name": found["name"]}
    return {"name": found["name"], "version": int(found["version"])}


def _refuse_options(config: dict[str, Any] | None, endpoint: str | None) -> None:
    if endpoint is not None:
        raise MlflowException(
            "This target has no endpoints: leave out --endpoint.", codes.INVALID_PARAMETER_VALUE
        )
    if config:
        raise MlflowException(
            f"This target has no options: leave out -C {', '.join(sorted(config))}.",
            codes.INVALID_PARAMETER_VALUE,
        )


def _payload(inputs: Any) -> dict[str, Any]:
    """Return the body for `/invocations`; the missing values of a frame become null."""
    if hasattr(inputs, "columns") and hasattr(inputs, "to_dict"):
        frame = inputs.astype(object).where(inputs.notna(), None).to_dict(orient="split")
        return {"dataframe_split": {"columns": frame["columns"], "data": frame["data"]}}
    if inputs is None:
        raise MlflowException("There are no inputs.", codes.INVALID_PARAMETER_VALUE)
    if isinstance(inputs, dict) and any(key in inputs for key in _PAYLOADS):
        return inputs
    return {"inputs": inputs}


def _require_model(reply: Reply, name: str) -> None:
    """Raise MlflowException if another model answered, as somebody put it in use meanwhile."""
    answered = reply.headers["X-Model-Name"]
    if answered is not None and answered != name:
        raise MlflowException(
            f"{answered} version {reply.headers['X-Model-Version']} is in use and answered, "
            f"not {name}.",
            codes.RESOURCE_DOES_NOT_EXIST,
        )
