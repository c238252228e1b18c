"""Clients' keys and their rate limits, and signatures of calls between replicas."""
