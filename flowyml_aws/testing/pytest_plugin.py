"""pytest fixtures of flowyml-aws. Slow modules are imported only when a fixture is used."""

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
    """A fresh emulated AWS account with raised quotas. The environment points AWS clients to it."""
    # Before moto is imported: the import fails for an AWS_PROFILE that is not configured.
    for name in [name for name in os.environ if name.startswith(("AWS_", "FLOWYML_AWS_"))]:
        monkeypatch.delenv(name)
    import boto3

    from flowyml_aws.testing import Emulator

    with Emulator(quotas="raised") as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        # boto3's default session caches credentials.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield aws
