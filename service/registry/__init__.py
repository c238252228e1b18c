"""MLflow behind the ports of `domain`: embedded or over HTTP. Nothing else imports mlflow."""
