"""pytest's fixtures of flowyml-aws. Nothing heavy is imported before one is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flowyml_aws.testing import Emulator

__all__ = ["aws_emulator"]


@pytest.fixture
def aws_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A fresh emulated AWS account, and the environment set so that it is used."""
    # Before moto is imported: it stumbles over an AWS_PROFILE that is not configured.
    for name in [name for name in os.environ if name.startswith(("AWS_", "FLOWYML_AWS_"))]:
        monkeypatch.delenv(name)
    import boto3

    from flowyml_aws.testing import Emulator

    with Emulator() as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        # boto3's default session keeps the credentials that it once found.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield aws
