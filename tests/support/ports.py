"""A port for a server whose setting has no other way to a free one."""

import random
import socket


def free_port() -> int:
    """Return a port that was free a moment ago, and is none that outgoing connections get."""
    while True:
        port = random.randint(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
