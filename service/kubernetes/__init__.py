"""Trainings as Jobs of Kubernetes; the only room that speaks to its API server."""
