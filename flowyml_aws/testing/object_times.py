"""Modification times of S3 objects by the clock of the emulated services."""

from __future__ import annotations

from datetime import timedelta

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from flowyml_aws.testing.calls import ApiCall

__all__ = ["date_written_object"]

_WRITES = ("CompleteMultipartUpload", "CopyObject", "PutObject")


def date_written_object(call: ApiCall, clock_skew_s: float) -> None:
    """Date the object that a call has just written; moto uses this machine's clock."""
    if call.service != "s3" or call.operation not in _WRITES or not clock_skew_s:
        return
    bucket, _, key = call.resource.partition("/")
    stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys.get(key)
    if stored is not None:
        stored.last_modified += timedelta(seconds=clock_skew_s)
