"""The files of `infra/account`, which Terraform reads as well."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

__all__ = [
    "EFA_INTERFACES",
    "FAMILIES",
    "IMAGES_LIFECYCLE",
    "RESERVED_DISK_GIB",
    "USER_DATA",
    "alerts",
    "policy",
]

_ACCOUNT = Path(__file__).parents[2] / "account"

_CATALOG = json.loads((_ACCOUNT / "families.json").read_text("utf-8"))

EFA_INTERFACES: Mapping[str, int] = json.loads((_ACCOUNT / "efa.json").read_text("utf-8"))[
    "interfaces"
]
FAMILIES: Mapping[str, Any] = _CATALOG["families"]
RESERVED_DISK_GIB: int = _CATALOG["reserved_disk_gib"]
USER_DATA = base64.b64encode((_ACCOUNT / "user-data.mime").read_bytes()).decode()
IMAGES_LIFECYCLE = (_ACCOUNT / "images-lifecycle.json").read_text("utf-8")


def policy(name: str, named: Mapping[str, str]) -> Any:
    """Return a policy document with its placeholders filled in."""
    return _document(f"policies/{name}.json", named)


def alerts(named: Mapping[str, str]) -> Any:
    """Return the events with the messages that are sent about them, by the name of their rule."""
    return _document("alerts.json", named)


def _document(path: str, named: Mapping[str, str]) -> Any:
    text = (_ACCOUNT / path).read_text("utf-8")
    return json.loads(Template(text.replace("$.", "$$.")).substitute(named))
