"""Single rows answered ahead of ASGI. Only `server` knows this folder, which can be deleted."""
