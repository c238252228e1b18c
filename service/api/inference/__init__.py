"""The Open Inference Protocol, version 2, and KServe's V1, over REST."""
