"""Marks of tests for some versions of boto3."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version

__all__ = ["needs_old_boto", "needs_preferences"]

_HAS_PREFERENCES = Version(version("botocore")) >= Version("1.43.90")

needs_preferences = pytest.mark.skipif(
    not _HAS_PREFERENCES, reason="this boto3 can't request several instance types"
)
needs_old_boto = pytest.mark.skipif(
    _HAS_PREFERENCES, reason="`make lowest` runs it: for a boto3 without InstancePreferences"
)
