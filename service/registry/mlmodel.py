"""The MLmodel file, by which MLflow's own page and loaders understand a version."""

from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import Any

import orjson

from service.common.domain import NewVersion
from service.models.allowlist import TRUSTED_TYPES

TYPES = {"number": "double", "text": "string", "boolean": "boolean"}
"""MLflow's names of the types of columns."""
_REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "numpy", "pandas")


def write_mlmodel(new: NewVersion, model_id: str) -> None:
    """Write MLmodel and requirements.txt beside the artifacts of `new`.

    MLmodel is YAML, and every JSON document is YAML.
    """
    flavors: dict[str, Any] = {
        "sklearn": {
            "pickled_model": "model.skops",
            "serialization_format": "skops",
            "sklearn_version": installed("scikit-learn"),
            "skops_trusted_types": sorted(TRUSTED_TYPES),
            "code": None,
        },
    }
    if "model.onnx" in new.sha256:
        flavors["onnx"] = {
            "data": "model.onnx",
            "onnx_version": installed("onnx"),
            "providers": ["CPUExecutionProvider"],
            "code": None,
        }
    inputs = [{"name": name, "type": TYPES[kind], "required": True} for name, kind in new.features]
    document = {
        "artifact_path": new.folder.name,
        "flavors": flavors,
        "metadata": {"model_type": new.model_type},
        "mlflow_version": installed("mlflow"),
        "model_id": model_id,
        "model_uuid": model_id,
        "run_id": new.run_id,
        "signature": {"inputs": orjson.dumps(inputs).decode(), "outputs": None, "params": None},
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    (new.folder / "MLmodel").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    lines = [f"{package}=={installed(package)}" for package in _REQUIREMENTS]
    (new.folder / "requirements.txt").write_text("\n".join(lines) + "\n")
