"""Traffic of the network interfaces that this process sees."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.runtime.meters.reading import MIB

__all__ = ["network_mib"]

_DEVICES = Path("/proc/net/dev")
# Interfaces of containers, whose traffic passes another interface as well.
_VIRTUAL = ("lo", "veth", "docker", "br-", "ecs-", "virbr", "cni", "podman")


def network_mib(devices: Path = _DEVICES) -> tuple[float, float] | None:
    """Return the MiB received and sent so far; None if the operating system does not report them.

    Source: https://docs.kernel.org/networking/statistics.html
    """
    try:
        lines = devices.read_text("ascii", errors="replace").splitlines()[2:]
    except OSError:
        return None
    received = sent = 0
    for line in lines:
        name, _, values = line.partition(":")
        fields = values.split()
        if name.strip().startswith(_VIRTUAL) or len(fields) < 9:
            continue
        received, sent = received + int(fields[0]), sent + int(fields[8])
    return received / MIB, sent / MIB
