"""Objects that are written once: with the policies of `infra/`, no caller can replace them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from flowyml_aws.artifacts.content import Content
from flowyml_aws.artifacts.layout import RunLayout, artifact_key, use_key
from flowyml_aws.artifacts.store import FRESH_S
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.aws.s3.store import S3ArtifactStore
from flowyml_aws.core.errors import DamagedArtifactError
from flowyml_aws.testing import Emulator
from flowyml_aws.testing.account import BUCKET
from tests.support.rigs import BackendRig, raised_emulator
from tests.support.stores import date_back

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("write-once")]

RESULT = RunLayout("r").result("j")
PROGRAM = """
from flowyml_aws import Pipeline, step

@step(outputs=["a"], cache={})
def read():
    return 3

@step(inputs=["a"], outputs=["b"], cache="input_hash")
def add(a):
    return a + 1

@step(inputs=["b"], outputs=["c"], cache=False)
def double(b):
    return b + 2

pipeline = Pipeline("lookup")
pipeline.add_step(read)
pipeline.add_step(add)
pipeline.add_step(double)
"""
LARGE = os.urandom(1 << 20) * 17  # two parts


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.fixture(autouse=True)
def empty_store(aws: Emulator) -> Iterator[None]:
    yield
    store = store_of(aws, "user")
    store.delete([entry.key for entry in store.walk("")])


def client_of(aws: Emulator, role: str) -> Any:
    keys = aws.credentials(f"flowyml-emulator-{role}")
    return boto3.session.Session().client(
        "s3",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=keys["AWS_SESSION_TOKEN"],
    )


def store_of(aws: Emulator, role: str) -> S3ArtifactStore:
    """Return the account's store as a role sees it."""
    return S3ArtifactStore.from_uri(client_of(aws, role), aws.environment["FLOWYML_AWS_STORE"])


def damage(aws: Emulator, key: str) -> None:
    """Replace an object, as only the administrator can."""
    aws.client("s3").put_object(Bucket=BUCKET, Key=f"flowyml/{key}", Body=b"damaged")


@pytest.mark.parametrize("role", ["job", "sagemaker"])
def test_a_job_can_neither_replace_nor_delete_what_another_job_has_written(
    aws: Emulator, role: str
) -> None:
    ref = save_value(store_of(aws, "job"), "a", "value")
    assert store_of(aws, "job").create(RESULT, b"first")
    s3 = client_of(aws, role)
    for key in (RESULT, ref.key):
        target = {"Bucket": BUCKET, "Key": f"flowyml/{key}"}
        for call, code in (
            (lambda target=target: s3.put_object(**target, Body=b"x"), "AccessDenied"),
            (
                lambda target=target: s3.put_object(**target, Body=b"x", IfNoneMatch="*"),
                "PreconditionFailed",
            ),
            (lambda target=target: s3.delete_object(**target), "AccessDenied"),
            (
                lambda target=target: s3.copy_object(**target, CopySource=target),
                "AccessDenied",
            ),
        ):
            with pytest.raises(ClientError) as caught:
                call()
            assert caught.value.response["Error"]["Code"] == code
    assert store_of(aws, "user").get(RESULT) == b"first"


def test_a_large_upload_can_not_replace_an_object_at_its_end(aws: Emulator) -> None:
    key = artifact_key("a" * 64)
    store_of(aws, "user").put(key, b"first")
    s3, target = client_of(aws, "job"), {"Bucket": BUCKET, "Key": f"flowyml/{key}"}
    for condition, code in (({}, "AccessDenied"), ({"IfNoneMatch": "*"}, "PreconditionFailed")):
        upload = {**target, "UploadId": s3.create_multipart_upload(**target)["UploadId"]}
        part = s3.upload_part(**upload, PartNumber=1, Body=b"part")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        with pytest.raises(ClientError) as caught:
            s3.complete_multipart_upload(**upload, MultipartUpload=parts, **condition)
        assert caught.value.response["Error"]["Code"] == code
    assert store_of(aws, "user").get(key) == b"first"


def test_a_document_that_is_written_once_keeps_its_first_content(aws: Emulator) -> None:
    store = store_of(aws, "user")
    store.put(RunLayout("r").run, b"{}")
    store.put(RunLayout("r").run, b"{}")  # an answer was lost, and the call is repeated
    with pytest.raises(DamagedArtifactError, match=r"run\.json can't be written"):
        store.put(RunLayout("r").run, b"[]")
    assert store.get(RunLayout("r").run) == b"{}"


@pytest.mark.parametrize("value", ["small", LARGE], ids=["one part", "several parts"])
def test_a_damaged_artifact_gets_another_key_in_a_job(
    aws: Emulator, value: Any, tmp_path: Path
) -> None:
    job = store_of(aws, "job")
    damage(aws, first := save_value(job, "a", value).key)
    ref = save_value(job, "a", value)
    assert ref.key == f"{first}.1"
    assert load_value(job, ref, "a", tmp_path) == value
    assert save_value(job, "a", value) == ref
    assert job.get(first) == b"damaged"


def test_a_client_replaces_a_damaged_artifact(aws: Emulator, tmp_path: Path) -> None:
    user = store_of(aws, "user")
    damage(aws, first := save_value(user, "a", "value").key)
    ref = save_value(user, "a", "value")
    assert ref.key == first
    assert load_value(user, ref, "a", tmp_path) == "value"


def test_a_store_does_not_hold_a_damaged_object(aws: Emulator) -> None:
    store, content = store_of(aws, "job"), Content(b"correct")
    key = artifact_key(content.sha256)
    store.upload(key, content)
    assert store.holds(key, content.sha256, len(b"correct"))
    damage(aws, key)  # of the same size
    assert not store.holds(key, content.sha256, len(b"damaged"))


@pytest.mark.parametrize("role", ["user", "job", "sagemaker"])
def test_the_use_of_an_old_artifact_is_recorded_without_replacing_it(
    aws: Emulator, role: str
) -> None:
    job, content = store_of(aws, role), Content(LARGE)
    key = artifact_key(content.sha256)
    job.upload(key, content)
    assert [entry.key for entry in job.walk("uses/")] == []
    date_back(job, key, 2 * FRESH_S)
    aws.calls.clear()
    job.upload(key, content)
    assert [entry.key for entry in job.walk("uses/")] == [use_key(key)]
    assert [call.operation for call in aws.calls][:2] == ["HeadObject", "PutObject"]


@pytest.mark.parametrize("caching", ['"input_hash"', "False"], ids=["client", "job"])
def test_a_cache_entry_with_a_damaged_artifact_does_not_fail_later_jobs(
    aws: Emulator, rig: BackendRig, caching: str
) -> None:
    """A client looks a step up before the run, or a job does if its inputs are not known before."""
    from flowyml_aws.cli.load import load_pipeline

    file = rig.folder / "lookup.py"
    file.write_text(PROGRAM.format(caching))
    run = load_pipeline(str(file)).submit(backend="batch")
    assert run.wait()["c"] == 6
    (ref,) = run.refs("b").values()
    bucket, _, key = ref.uri.removeprefix("s3://").partition("/")
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"damaged")
    again = load_pipeline(str(file)).submit(backend="batch")
    assert again.wait()["c"] == 6
    assert again.outputs["b"] == 4


def test_a_run_whose_value_was_damaged_is_resumed_by_the_step_that_produces_it(
    aws: Emulator, rig: BackendRig
) -> None:
    run = rig.pipeline("resuming").submit(backend="batch")
    assert not run.wait().success
    Path(f"{rig.trace}.go").touch()
    (ref,) = run.refs("raw").values()
    prefix = rig.environment["FLOWYML_AWS_STORE"].partition("/flowyml/")[2]
    assert ref.size_bytes == len(b"damaged")  # so only the digest differs
    damage(aws, f"{prefix}/{ref.key}")
    assert run.resume().wait()["score"] == 21
    assert rig.ran().count("load") == 2
