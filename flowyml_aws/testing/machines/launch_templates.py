"""The launch templates of emulated compute environments: volumes, and the firewall of user data."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

__all__ = ["blocked_user", "launch_template"]

_RULE = re.compile(r"--uid-owner (\d+)")
_METADATA_ADDRESS = "169.254.169.254"


def launch_template(resources: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    """Return the launch template of a compute environment; an empty mapping if it has none.

    Args:
        resources: Resources of the environment.
        region: Region of the environment.

    Raises:
        ServiceException: The launch template does not exist.
    """
    named: Mapping[str, str] | None = resources.get("launchTemplate")
    if not named:
        return {}
    ec2 = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    if "launchTemplateId" in named:
        template = ec2.get_launch_template(named["launchTemplateId"])
    else:
        template = ec2.get_launch_template_by_name(named["launchTemplateName"])
    data: Mapping[str, Any] = template.get_version(named.get("version") or "$Default").data
    return data


def blocked_user(template: Mapping[str, Any]) -> int | None:
    """Return the id of the user that user data keeps from the instance metadata, or None.

    Only the rule of `infra/account/user-data.mime` is understood.

    Args:
        template: Launch template.
    """
    return _blocked_user(str(template.get("UserData") or ""))


@lru_cache(maxsize=16)
def _blocked_user(user_data: str) -> int | None:
    script = base64.b64decode(user_data).decode(errors="replace")
    rule = _RULE.search(script)
    return int(rule[1]) if rule is not None and _METADATA_ADDRESS in script else None
