"""Elastic Fabric Adapters (EFA) that a node sees. Runs in the job: standard library only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from flowyml_aws.core.emulated import NOT_EMULATED

__all__ = ["EfaFacts", "efa_facts"]

_DEVICES = Path("/dev/infiniband")
_INSTALLED = "/opt/amazon/efa/bin"  # by AWS's installer
_LIMIT_S = 5.0


class EfaFacts(TypedDict):
    """The EFA of one node, as JSON values.

    `provider` says whether libfabric finds them; it is None without the program `fi_info`.
    `not_emulated` is the reason why the emulator has none, or empty.
    """

    devices: list[str]
    provider: bool | None
    not_emulated: str


def efa_facts(environment: Mapping[str, str], devices: Path = _DEVICES) -> EfaFacts:
    """Return the EFA of this node.

    Args:
        environment: Environment variables of the job.
        devices: Folder of the device files.
    """
    path = f"{environment.get('PATH', '')}:{_INSTALLED}"
    return EfaFacts(
        devices=sorted(file.name for file in devices.glob("uverbs*")),
        provider=_has_provider(shutil.which("fi_info", path=path)),
        not_emulated=environment.get(f"{NOT_EMULATED}EFA", ""),
    )


def _has_provider(program: str | None) -> bool | None:
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "-p", "efa"], capture_output=True, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
