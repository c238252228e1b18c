"""MLflow behind the ports of `model`: embedded or over HTTP. Nothing else imports mlflow."""

from service.registry.mlflow_registry import MlflowRegistry

__all__ = ["MlflowRegistry"]
