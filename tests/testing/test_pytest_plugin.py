from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flowyml_aws

pytestmark = pytest.mark.contract

USERS_TESTS = """
import os
import boto3

BUCKET = "flowyml-emulator-123456789012-us-east-1"

def test_the_first_test_uses_the_emulator(aws_emulator):
    assert "AWS_PROFILE" not in os.environ
    boto3.client("s3").put_object(Bucket=BUCKET, Key="flowyml/k", Body=b"", IfNoneMatch="*")
    assert aws_emulator.calls[0].operation == "PutObject"

def test_the_second_test_gets_a_fresh_account(aws_emulator):
    assert boto3.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0

def test_other_tests_keep_their_environment():
    assert os.environ["AWS_PROFILE"] == "mine"
    assert "AWS_ENDPOINT_URL" not in os.environ
"""


def test_each_test_of_a_user_gets_a_fresh_account(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_PROFILE": "mine",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(Path(flowyml_aws.__path__[0]).parent),
    }
    options = ["-p", "flowyml_aws.testing.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert "3 passed" in process.stdout, process.stdout + process.stderr
