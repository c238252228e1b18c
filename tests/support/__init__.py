"""Code that tests, end-to-end tests and benchmarks share."""
