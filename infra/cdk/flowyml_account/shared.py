"""The files of `infra/account`, which Terraform reads as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

__all__ = ["FAMILIES", "IMAGES_LIFECYCLE", "policy"]

_ACCOUNT = Path(__file__).parents[2] / "account"

FAMILIES: Mapping[str, Any] = json.loads((_ACCOUNT / "families.json").read_text("utf-8"))[
    "families"
]
IMAGES_LIFECYCLE = (_ACCOUNT / "images-lifecycle.json").read_text("utf-8")


def policy(name: str, named: Mapping[str, str]) -> Any:
    """Return a policy document with its placeholders filled in."""
    text = (_ACCOUNT / "policies" / f"{name}.json").read_text("utf-8")
    return json.loads(Template(text).substitute(named))
