"""Bucket policies, evaluated by the emulator instead of moto, which ignores their conditions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, s3_backends

from flowyml_aws.testing.iam.permissions import Need
from flowyml_aws.testing.iam.policies import Policy

__all__ = ["policies_on", "without_moto"]

_S3 = "arn:aws:s3:::"


def policies_on(need: Need) -> tuple[Policy, ...]:
    """Return the policy of the bucket that a permission is about; empty if it has none."""
    if not need.resource.startswith(_S3):
        return ()
    name = need.resource.removeprefix(_S3).partition("/")[0]
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(name)
    if bucket is None or bucket.policy is None:
        return ()
    return (_parsed(bytes(bucket.policy)),)


@contextmanager
def without_moto() -> Iterator[None]:
    """Disable moto's evaluation of bucket policies."""

    def neutral(self: FakeBucket, action: str, resource: str) -> Any:
        return PermissionResult.NEUTRAL

    original = FakeBucket.get_permission
    # A patch, as moto has no switch for it.
    FakeBucket.get_permission = neutral  # type: ignore[method-assign]
    try:
        yield
    finally:
        FakeBucket.get_permission = original  # type: ignore[method-assign]


@lru_cache(maxsize=64)
def _parsed(policy: bytes) -> Policy:
    return Policy.parse(json.loads(policy), "bucket policy")
