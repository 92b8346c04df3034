"""The IAM policies of the emulated account: those that infra/ creates in a real one.

The folder `policies` is a link to `infra/account/policies`, which Terraform and CDK read, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template

__all__ = ["account_policy"]

_FOLDER = Path(__file__).with_name("policies")


def account_policy(name: str, placeholders: Mapping[str, str]) -> str:
    """Return a policy document as JSON.

    Args:
        name: Name of the file, without its extension.
        placeholders: Names and ARNs that the document refers to.

    Raises:
        KeyError: A placeholder of the document has no value.
    """
    text = (_FOLDER / f"{name}.json").read_text("utf-8")
    return Template(text).substitute(placeholders)
