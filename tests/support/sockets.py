"""Raw HTTP: sends bytes to a service under test, and reads what comes back."""

import contextlib
import json
import re
import socket

from tests.support.server import Client

HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def talk(client: Client, data: bytes, seconds: float = 10) -> bytes:
    """Send bytes; return all that comes back until the server closes."""
    with connect(client, seconds) as connection:
        connection.sendall(data)
        return rest(connection)


def connect(client: Client, seconds: float = 10) -> socket.socket:
    address = (client.base_url.host, client.base_url.port or 80)
    return socket.create_connection(address, timeout=seconds)


def rest(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def one_reply(connection: socket.socket) -> bytes:
    """Read one reply that has a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def flood(connection: socket.socket, piece: bytes, most: int) -> int:
    """Send a piece repeatedly until the server closes; return the number of bytes sent."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            sent += connection.send(piece)
    return sent


def check(reply: bytes, status: int) -> None:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), reply
    assert b"content-type: application/problem+json" in head
    assert b"x-request-id: " in head
    assert json.loads(body)["status"] == status
