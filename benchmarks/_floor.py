"""Least work of a verified transfer: SHA-256 and one bare socket, in one thread."""

from __future__ import annotations

import hashlib
import multiprocessing
import socket
from collections.abc import Callable
from typing import Any

from benchmarks._clients import MIB, PART_BYTES, Client, new_memory
from benchmarks._measuring import cpu_seconds

__all__ = ["floor", "memcpy_gib_s", "sha256_gib_s"]

_RATE_MIB = 256


def floor(_endpoint: str) -> Client:
    """Hash, then send; receive into new memory, and hash. The peer is another process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Forked, so that it has the socket; its processor time counts only after it has ended.
        peer = multiprocessing.get_context("fork").Process(
            target=_serve, args=(server,), daemon=True
        )
        peer.start()
        connection = socket.create_connection(server.getsockname())
        connection.recv(1)  # ready

    def save(data: Any) -> None:
        view = memoryview(data)
        connection.sendall(b"S")
        for start in range(0, len(view), PART_BYTES):
            part = view[start : start + PART_BYTES]
            hashlib.sha256(part).digest()
            connection.sendall(part)
        connection.recv(1)

    def load() -> Any:
        data = new_memory()
        connection.sendall(b"L")
        for start in range(0, len(data), PART_BYTES):
            part = data[start : start + PART_BYTES]
            connection.recv_into(part, 0, socket.MSG_WAITALL)
            hashlib.sha256(part).digest()
        return data

    return save, load


def _serve(server: socket.socket) -> None:
    from benchmarks.clients import make_data

    data, memory = make_data(), memoryview(bytearray(MIB))
    connection, _ = server.accept()
    connection.sendall(b".")
    if connection.recv(1) == b"L":
        connection.sendall(data)
    else:
        left = len(data)
        while left:
            left -= connection.recv_into(memory)
        connection.sendall(b".")
    connection.recv(1)  # until the client has ended


def sha256_gib_s() -> float:
    """Return the speed of SHA-256 per core in GiB/s."""
    data = bytes(_RATE_MIB * MIB)
    return _gib_s(lambda: hashlib.sha256(data))


def memcpy_gib_s() -> float:
    """Return the speed of a copy between memory that was used before, per core, in GiB/s."""
    source, target = bytearray(b"1") * (_RATE_MIB * MIB), memoryview(bytearray(_RATE_MIB * MIB))

    def copy() -> None:
        target[:] = source

    copy()
    return _gib_s(copy)


def _gib_s(call: Callable[[], object]) -> float:
    return _RATE_MIB / 1024 / min(cpu_seconds(call) for _ in range(5))
