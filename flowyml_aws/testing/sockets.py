"""The user that owns a connection to this process, as a firewall with an owner rule sees it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["owner_of"]

# Linux: Documentation/networking/proc_net_tcp. IPv4-mapped addresses are in the second file.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _STATE, _OWNER = 1, 2, 3, 7
_ESTABLISHED = "01"


def owner_of(client_port: int, server_port: int) -> int | None:
    """Return the user id of a process on this machine that is connected to one of its ports.

    None if this system does not report it, as any other than Linux.
    """
    for table in _TABLES:
        try:
            lines = table.read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            ports = [int(fields[index].rpartition(":")[2], 16) for index in (_LOCAL, _REMOTE)]
            if ports == [client_port, server_port] and fields[_STATE] == _ESTABLISHED:
                return int(fields[_OWNER])
    return None
