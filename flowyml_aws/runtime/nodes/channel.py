"""Connections between nodes: JSON messages, after both ends have proved that they know the key."""

from __future__ import annotations

import contextlib
import os
import socket
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from threading import Lock

from flowyml_aws.artifacts.documents import Document
from flowyml_aws.runtime.nodes.messages import Message, read

__all__ = ["Channel", "ChannelClosedError", "accept", "connect", "listen"]

_CONNECT_S = 10.0
_LONGEST_MESSAGE = 64 * 2**20
# A machine that disappears closes nothing: it is noticed after 10 + 6 · 5 s without an answer.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 6}


class ChannelClosedError(Exception):
    """The other end has closed the connection, or is gone."""


class Channel:
    """A connection to another node. Any thread may send; one thread receives.

    Attributes:
        local_address: Address of this end.
        remote_address: Address of the other end.
    """

    def __init__(self, connected: socket.socket) -> None:
        _keep_alive(connected)
        self.local_address: str = connected.getsockname()[0]
        self.remote_address: str = connected.getpeername()[0]
        self._socket = connected
        self._connection: Connection = Connection(os.dup(connected.fileno()))
        self._lock = Lock()

    def prove(self, key: bytes, answers_first: bool) -> None:
        """Check that both ends know the key.

        Raises:
            ChannelClosedError: The other end does not know it, or does not answer in time.
        """
        steps = [deliver_challenge, answer_challenge]
        try:
            for step in reversed(steps) if answers_first else steps:
                if step is answer_challenge and not self._connection.poll(_CONNECT_S):
                    raise ChannelClosedError("no answer")
                step(self._connection, key)
        except (OSError, EOFError, AuthenticationError, ValueError, AssertionError) as error:
            raise ChannelClosedError(str(error)) from error

    def send(self, message: Document) -> None:
        """Send a message.

        Raises:
            ChannelClosedError: The other end is gone.
        """
        try:
            with self._lock:
                self._connection.send_bytes(message.to_json(indent=None))
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    def receive(self) -> Message:
        """Wait for a message.

        Raises:
            ChannelClosedError: The other end is gone.
            DamagedArtifactError: It runs another version of this package.
        """
        try:
            data = self._connection.recv_bytes(_LONGEST_MESSAGE)
        except (OSError, EOFError) as error:
            raise ChannelClosedError(str(error) or "connection closed") from error
        return read(data)

    def close(self) -> None:
        """Close the connection, also while a thread receives."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()  # of two descriptors: a thread that receives has the other one


def listen(address: str, backlog: int) -> socket.socket:
    """Return a socket that listens at an address of this node, on a free port."""
    return socket.create_server((address, 0), backlog=backlog)


def accept(connected: socket.socket, key: bytes) -> Channel:
    """Return a channel for a connection that a node has made.

    Raises:
        ChannelClosedError: The other end does not know the key.
    """
    channel = Channel(connected)
    try:
        channel.prove(key, answers_first=False)
    except ChannelClosedError:
        channel.close()
        raise
    return channel


def connect(address: str, port: int, key: bytes, own_address: str | None = None) -> Channel:
    """Connect to the main node.

    Args:
        address: Address of the main node.
        port: Its port.
        key: Key of the attempt.
        own_address: Address of this end; None for that of the interface to the main node.

    Raises:
        ChannelClosedError: No main node with this key answers at the address.
    """
    source = None if own_address is None else (own_address, 0)
    try:
        connected = socket.create_connection((address, port), _CONNECT_S, source)
    except OSError as error:
        raise ChannelClosedError(str(error)) from error
    connected.settimeout(None)
    channel = Channel(connected)
    try:
        channel.prove(key, answers_first=True)
    except ChannelClosedError:
        channel.close()
        raise
    return channel


def _keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # macOS has other names
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
