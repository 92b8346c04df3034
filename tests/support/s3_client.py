"""Client of moto's server, without imports of moto: they take longer than storing a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["s3_client"]


def s3_client(endpoint: str) -> S3Client:
    """Return a client with fake credentials that repeats a call once, after up to a second."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 2}, max_pool_connections=16),
    )
