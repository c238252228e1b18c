"""Tests of a release on a real cluster."""
