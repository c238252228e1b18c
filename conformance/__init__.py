"""A conformance suite of the Open Inference Protocol v2 over HTTP, for any server."""
