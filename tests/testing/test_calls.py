from __future__ import annotations

import io
import urllib.request
from typing import Any

import pytest

from flowyml_aws.testing import ApiCall, Emulator

pytestmark = pytest.mark.contract

BUCKET = "flowyml-emulator-123456789012-us-east-1"


def test_calls_are_recorded_with_their_resource_in_order(batch: Any, aws: Emulator) -> None:
    aws.calls.clear()
    job_id = batch.submit(jobName="mine")
    batch.api.terminate_job(jobId=job_id, reason="enough")
    aws.client("sts").get_caller_identity()
    aws.client("logs").describe_log_streams(logGroupName="/flowyml-aws/emulator")
    assert aws.calls == [
        ApiCall("batch", "SubmitJob", "mine"),
        ApiCall("batch", "TerminateJob", job_id),
        ApiCall("sts", "GetCallerIdentity", ""),
        ApiCall("logs", "DescribeLogStreams", "/flowyml-aws/emulator"),
    ]


def test_s3_calls_have_the_names_of_the_api_reference(aws: Emulator) -> None:
    s3, target = aws.client("s3"), {"Bucket": BUCKET, "Key": "a/k"}
    s3.put_object(**target, Body=b"1")
    s3.head_object(**target)
    s3.get_object(**target)
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=target)
    s3.list_objects_v2(Bucket=BUCKET)
    s3.head_bucket(Bucket=BUCKET)
    s3.put_object_tagging(**target, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    upload = {**target, "UploadId": s3.create_multipart_upload(**target)["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=io.BytesIO(b"part"))
    s3.list_parts(**upload)
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    upload["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
    s3.abort_multipart_upload(**upload)
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "copy"}]})
    s3.delete_object(**target)
    s3.list_buckets()
    assert [call.operation for call in aws.calls] == [
        "PutObject",
        "HeadObject",
        "GetObject",
        "CopyObject",
        "ListObjectsV2",
        "HeadBucket",
        "PutObjectTagging",
        "CreateMultipartUpload",
        "UploadPart",
        "ListParts",
        "CompleteMultipartUpload",
        "CreateMultipartUpload",
        "AbortMultipartUpload",
        "DeleteObjects",
        "DeleteObject",
        "ListBuckets",
    ]
    assert aws.calls[0] == ("s3", "PutObject", f"{BUCKET}/a/k")


def test_a_request_to_a_presigned_url_is_recorded(aws: Emulator) -> None:
    s3 = aws.client("s3")
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"content")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "k"})
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"content"
    assert aws.calls[-1] == ApiCall("s3", "GetObject", f"{BUCKET}/k")
