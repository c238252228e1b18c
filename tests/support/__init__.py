"""What tests, end-to-end tests and benchmarks share."""
