"""Mistakes that only an account can tell: credentials, the bucket, queues, settings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import GOOD, MISTAKE, REFUSED, told, written
from tests.support.refusing import refusing
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-emulated")]


@pytest.fixture
def account(
    rig: BackendRig, emulator_settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    for name, value in emulator_settings.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refused(cli: Cli, file: str, code: int, *texts: str) -> None:
    told_all = cli("run", file, "--backend", "batch")
    assert told_all.code == code, told_all.err
    for text in (*texts, "nothing was submitted", "  why: ", "  fix: "):
        assert text in told_all.err
    assert "Traceback" not in told_all.err


def test_missing_settings_are_told_all_at_once(
    account: pytest.MonkeyPatch, cli: Cli, file: str
) -> None:
    account.delenv("FLOWYML_AWS_STORE")
    account.delenv("FLOWYML_AWS_IMAGE")
    texts = ("`store` is missing", "`image` is missing", "2 problems", "flowyml-aws emulate")
    refused(cli, file, MISTAKE, *texts)


def test_an_unknown_queue(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.setenv("FLOWYML_AWS_QUEUES", "cpu,gpu_t4")
    texts = ("1 problem", "Queue 'gpu_t4' does not exist", "did you mean 'gpu-t4'?")
    refused(cli, file, MISTAKE, *texts)


def test_a_missing_bucket(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.setenv("FLOWYML_AWS_STORE", "s3://no-such-bucket/prefix")
    texts = ("1 problem", "Bucket 'no-such-bucket' does not exist")
    refused(cli, file, MISTAKE, *texts)


def test_a_denied_bucket(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    with refusing(403, "AccessDenied", "Access Denied") as endpoint:
        account.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        refused(cli, file, REFUSED, "1 problem", "is denied", "s3:PutObject")


def test_missing_credentials(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.delenv("AWS_ACCESS_KEY_ID")
    account.delenv("AWS_SECRET_ACCESS_KEY")
    texts = ("1 problem", "Unable to locate credentials", "aws configure")
    refused(cli, file, REFUSED, *texts)


def test_expired_credentials(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    with refusing(403, "ExpiredToken", "The security token is expired") as endpoint:
        account.setenv("AWS_ENDPOINT_URL_STS", endpoint)
        texts = ("1 problem", "the credentials have expired", "aws sso login")
        refused(cli, file, REFUSED, *texts)


def test_everything_that_is_wrong_is_told_at_once(account: pytest.MonkeyPatch, cli: Cli) -> None:
    account.setenv("FLOWYML_AWS_STORE", "s3://no-such-bucket/prefix")
    account.setenv("FLOWYML_AWS_QUEUES", "gpu_t4")
    bad = GOOD + "@step\ndef two(learning_rate):\n    return 2\npipeline.add_step(two)\n"
    texts = ("3 problems", "no-such-bucket", "gpu_t4", "learning_rate")
    refused(cli, written(bad), MISTAKE, *texts)


def test_no_region(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.delenv("AWS_DEFAULT_REGION")
    refused(cli, file, REFUSED, "1 problem", "You must specify a region", "AWS_REGION")


def test_a_store_that_denies_to_list_runs(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    with refusing(403, "AccessDenied", "Access Denied") as endpoint:
        account.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        told(cli("runs"), REFUSED, "s3:ListBucket")
        told(cli("status", "a-20261122-150531-3f9a1c"), REFUSED, "s3:GetObject")
