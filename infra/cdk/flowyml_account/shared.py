"""The files of `infra/account`, which Terraform reads as well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

__all__ = [
    "BUILDSPEC",
    "EFA_INTERFACES",
    "FAMILIES",
    "IMAGES_LIFECYCLE",
    "RESERVED_DISK_GIB",
    "alerts",
    "policy",
    "user_data",
]

_ACCOUNT = Path(__file__).parents[2] / "account"

_CATALOG = json.loads((_ACCOUNT / "families.json").read_text("utf-8"))

EFA_INTERFACES: Mapping[str, int] = json.loads((_ACCOUNT / "efa.json").read_text("utf-8"))[
    "interfaces"
]
FAMILIES: Mapping[str, Any] = _CATALOG["families"]
RESERVED_DISK_GIB: int = _CATALOG["reserved_disk_gib"]
BUILDSPEC = (_ACCOUNT / "buildspec.json").read_text("utf-8")
IMAGES_LIFECYCLE = (_ACCOUNT / "images-lifecycle.json").read_text("utf-8")


def policy(name: str, named: Mapping[str, str]) -> Any:
    """Return a policy document with its placeholders filled in."""
    return _document(f"policies/{name}.json", named)


def alerts(named: Mapping[str, str]) -> Any:
    """Return the events with the messages that are sent about them, by the name of their rule."""
    return _document("alerts.json", named)


def user_data(file_systems: Sequence[str]) -> str:
    """Return the user data of an instance.

    Args:
        file_systems: File systems of FSx for Lustre that it mounts: `DNS_NAME@tcp:/MOUNT_NAME`.
    """
    text = (_ACCOUNT / "user-data.mime").read_text("utf-8")
    if not file_systems:
        return text
    # The document for FSx continues the first one.
    fsx = (_ACCOUNT / "user-data-fsx.mime").read_text("utf-8")
    fsx = fsx.replace("%FILE_SYSTEMS%", " ".join(file_systems))
    return text.removesuffix("--==flowyml-aws==--\n") + fsx


def _document(path: str, named: Mapping[str, str]) -> Any:
    text = (_ACCOUNT / path).read_text("utf-8")
    return json.loads(Template(text.replace("$.", "$$.")).substitute(named))
