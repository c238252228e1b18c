"""Requests that nobody thought of, sent to the real server on this machine."""
