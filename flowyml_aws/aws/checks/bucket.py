"""Checks of the run bucket: it exists, is writable and readable, and encrypts objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.batch.discovery import bucket_problem
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.core.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["check_bucket", "check_writing"]

_PROBE = b"written by `flowyml-aws doctor`\n"


def check_bucket(s3: S3Client, bucket: str) -> Sequence[Finding]:
    """Check that the bucket exists, and is in the client's region.

    Raises:
        SettingsError: The bucket does not exist.
        AwsRefusedError: Access to the bucket is denied.
    """
    problem = bucket_problem(s3, bucket)
    if problem is not None:
        raise problem
    head = s3.head_bucket(Bucket=bucket)
    region = head.get("BucketRegion") or head["ResponseMetadata"]["HTTPHeaders"].get(
        "x-amz-bucket-region", ""
    )
    client_region = s3.meta.region_name
    if region and region != client_region:
        return [
            Finding(
                "bucket-elsewhere",
                "warning",
                f"Bucket {bucket!r} is in {region}, but the jobs run in {client_region}",
                "every value crosses regions, which is slower and charged per gigabyte",
                f"use a bucket in {client_region}, or set AWS_REGION={region}",
            )
        ]
    return [Finding("bucket", "ok", f"Bucket {bucket!r} is in {region or client_region}")]


def check_writing(s3: S3Client, bucket: str, key: str) -> Sequence[Finding]:
    """Check that objects can be written, read and deleted, and that they are encrypted.

    Args:
        s3: S3 client.
        bucket: Name of the bucket.
        key: Key of the object that is written and then deleted.

    Raises:
        AwsRefusedError: Writing or reading is denied.
    """
    uri = f"s3://{bucket}/{key}"
    try:
        written = s3.put_object(Bucket=bucket, Key=key, Body=_PROBE, IfNoneMatch="*")
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"write {uri}") from error
    findings = [
        _encryption(bucket, written.get("ServerSideEncryption"), written.get("SSEKMSKeyId"))
    ]
    try:
        read = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"read {uri}") from error
    finally:
        findings += _delete(s3, bucket, key, uri)
    if read != _PROBE:
        raise AwsRefusedError(
            what=f"{uri} differs from the bytes that were written",
            why="a proxy or gateway changes the data on its way",
            fix="check the proxy or gateway between this machine and S3",
        )
    return [
        Finding("writable", "ok", f"Objects can be written to and read from {bucket!r}"),
        *findings,
    ]


def _delete(s3: S3Client, bucket: str, key: str, uri: str) -> Sequence[Finding]:
    try:
        s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        refusal = refused(error, f"delete {uri}")
        why = f"{refusal.why}; `flowyml-aws gc` and `cache rm` can't delete anything"
        fix = "allow s3:DeleteObject on it"
        return [Finding("not-removable", "warning", refusal.what, why, fix)]
    return []


def _encryption(bucket: str, method: str | None, key: str | None) -> Finding:
    if method is None:
        return Finding(
            "not-encrypted",
            "warning",
            f"Bucket {bucket!r} does not report encryption of its objects",
            "Amazon S3 always encrypts; an S3-compatible service may not",
            "set the default encryption of the bucket, as infra/ does",
        )
    return Finding(
        "encrypted", "ok", f"Objects are encrypted ({method}{f', {key}' if key else ''})"
    )
