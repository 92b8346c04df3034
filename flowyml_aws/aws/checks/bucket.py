"""The bucket that runs are stored in: there, writable, readable, encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from flowyml_aws.aws.discovery import bucket_problem
from flowyml_aws.aws.errors import refused
from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.core.findings import Finding

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["check_bucket", "check_writing"]

_TEXT = b"a test of `flowyml-aws doctor`\n"


def check_bucket(s3: S3Client, bucket: str) -> Sequence[Finding]:
    """Whether the bucket is there, and where.

    Raises:
        SettingsError: It does not exist.
        AwsRefusedError: It is denied.
    """
    problem = bucket_problem(s3, bucket)
    if problem is not None:
        raise problem
    told = s3.head_bucket(Bucket=bucket)
    region = told.get("BucketRegion") or told["ResponseMetadata"]["HTTPHeaders"].get(
        "x-amz-bucket-region", ""
    )
    here = s3.meta.region_name
    if region and region != here:
        return [
            Finding(
                "bucket-elsewhere",
                "warning",
                f"Bucket {bucket!r} is in {region}, the jobs run in {here}",
                "every value crosses regions: slower, and paid for by the gigabyte",
                f"use a bucket in {here}, or set AWS_REGION={region}",
            )
        ]
    return [Finding("bucket", "ok", f"Bucket {bucket!r} is in {region or here}")]


def check_writing(s3: S3Client, bucket: str, key: str) -> Sequence[Finding]:
    """Whether objects can be written, read and removed, and how they are encrypted.

    Args:
        s3: Client.
        bucket: Its name.
        key: Of the object that is written, and removed again.

    Raises:
        AwsRefusedError: Writing or reading is denied.
    """
    where = f"s3://{bucket}/{key}"
    try:
        written = s3.put_object(Bucket=bucket, Key=key, Body=_TEXT)
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"write {where}") from error
    found = [_encryption(bucket, written.get("ServerSideEncryption"), written.get("SSEKMSKeyId"))]
    try:
        read = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise refused(error, f"read {where}") from error
    finally:
        found += _removed(s3, bucket, key, where)
    if read != _TEXT:
        raise AwsRefusedError(
            what=f"{where} is not what was written",
            why="a proxy or gateway changes what goes through it",
            fix="look at what is between this machine and S3",
        )
    return [
        Finding("writable", "ok", f"Objects can be written to and read from {bucket!r}"),
        *found,
    ]


def _removed(s3: S3Client, bucket: str, key: str, where: str) -> Sequence[Finding]:
    try:
        s3.delete_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        told = refused(error, f"remove {where}")
        why = f"{told.why}; `flowyml-aws gc` and `cache rm` can't remove anything"
        return [Finding("not-removable", "warning", told.what, why, "allow s3:DeleteObject on it")]
    return []


def _encryption(bucket: str, method: str | None, key: str | None) -> Finding:
    if method is None:
        return Finding(
            "not-encrypted",
            "warning",
            f"Bucket {bucket!r} does not say that it encrypts objects",
            "S3 itself always does; another service in its place may not",
            "set the bucket's default encryption (infra/ does)",
        )
    return Finding(
        "encrypted", "ok", f"Objects are encrypted ({method}{f', {key}' if key else ''})"
    )
