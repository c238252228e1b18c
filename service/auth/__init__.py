"""Keys of clients, their limits, and signatures of calls between replicas."""
