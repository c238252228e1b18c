"""MLflow behind the ports of `common.domain`, embedded or over HTTP; nothing else imports it."""
