"""The user that owns a connection to this process, as a firewall with an owner rule sees it."""

from __future__ import annotations

import socket
import struct
import sys

__all__ = ["Address", "owner_of"]

Address = tuple[str, int]
"""IPv4 address and port."""

# Linux: sock_diag(7). The tables in /proc/net have the same information, but the kernel prints the
# connections of all processes, including those that have ended, which can take 10 ms of CPU time.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 20, 1
_ESTABLISHED = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST = struct.Struct("=BBBBI")  # struct inet_diag_req_v2, up to the id
_ID = struct.Struct("!HH4s12x4s12x")  # struct inet_diag_sockid, up to the interface
_ANY_INTERFACE, _ANY_COOKIE = b"\0" * 4, b"\xff" * 8
_ANSWER = struct.Struct("=4B48x3II")  # struct inet_diag_msg, up to the user


def owner_of(client: Address, server: Address) -> int | None:
    """Return the user id of a process on this machine that is connected to one of its ports.

    None if no such connection exists, or on systems other than Linux.
    """
    if sys.platform != "linux":
        return None
    ends = _ID.pack(client[1], server[1], *map(socket.inet_aton, (client[0], server[0])))
    asked = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 1 << _ESTABLISHED)
    body = asked + ends + _ANY_INTERFACE + _ANY_COOKIE
    length = _HEADER.size + len(body)
    header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.sendall(header + body)
            answer = kernel.recv(4096)
    except OSError:
        return None
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # an error, such as ENOENT
    _, state, _, _, _, _, _, user = _ANSWER.unpack_from(answer, _HEADER.size)
    return int(user) if state == _ESTABLISHED else None
