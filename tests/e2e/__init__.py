"""Promises of a release, held on a real cluster."""
