"""Measurements that are run by hand: what the service costs and how exactly it answers."""
