"""From a version in MLflow to replies: loading, admission, batching, classification, encoding."""
