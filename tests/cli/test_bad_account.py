"""Mistakes that only an account reveals: credentials, bucket, queues, settings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.cli.conftest import Cli
from tests.cli.mistakes import GOOD, MISTAKE, REFUSED, assert_error, write_file
from tests.support.refusing import Answer, answering, refusing
from tests.support.rigs import BackendRig

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-emulated")]


@pytest.fixture
def account(
    rig: BackendRig, emulator_settings: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    for name, value in emulator_settings.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def assert_refused(cli: Cli, file: str, code: int, *parts: str) -> None:
    answer = cli("run", file, "--backend", "batch")
    assert answer.code == code, answer.err
    for part in (*parts, "nothing was submitted", "  why: ", "  fix: "):
        assert part in answer.err
    assert "Traceback" not in answer.err


def test_all_missing_settings_are_reported_at_once(
    account: pytest.MonkeyPatch, cli: Cli, file: str
) -> None:
    account.delenv("FLOWYML_AWS_STORE")
    account.delenv("FLOWYML_AWS_IMAGE")
    account.delenv("FLOWYML_AWS_REPOSITORY")
    parts = ("`store` is missing", "`image` is missing", "2 problems", "flowyml-aws emulate")
    assert_refused(cli, file, MISTAKE, *parts)


def test_an_unknown_queue(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.setenv("FLOWYML_AWS_QUEUES", "flowyml-emulator-cpu,flowyml-emulator_t4")
    parts = (
        "1 problem",
        "Queue 'flowyml-emulator_t4' does not exist",
        "did you mean 'flowyml-emulator-t4'?",
    )
    assert_refused(cli, file, MISTAKE, *parts)


def test_a_missing_bucket(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.setenv("FLOWYML_AWS_STORE", "s3://no-such-bucket/prefix")
    parts = ("1 problem", "Bucket 'no-such-bucket' does not exist")
    assert_refused(cli, file, MISTAKE, *parts)


def test_a_denied_bucket(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    with refusing(403, "AccessDenied", "Access Denied") as endpoint:
        account.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        assert_refused(cli, file, REFUSED, "1 problem", "is denied", "s3:PutObject")


def test_missing_credentials(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.delenv("AWS_ACCESS_KEY_ID")
    account.delenv("AWS_SECRET_ACCESS_KEY")
    parts = ("1 problem", "Unable to locate credentials", "aws configure")
    assert_refused(cli, file, REFUSED, *parts)


def test_expired_credentials(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    with refusing(403, "ExpiredToken", "The security token is expired") as endpoint:
        account.setenv("AWS_ENDPOINT_URL_STS", endpoint)
        parts = ("1 problem", "the credentials have expired", "aws sso login")
        assert_refused(cli, file, REFUSED, *parts)


@pytest.mark.parametrize("command", ["runs", "attach"])
def test_a_network_that_asks_to_sign_in(
    account: pytest.MonkeyPatch, cli: Cli, command: str
) -> None:
    page = Answer(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html>Sign in</html>")
    with answering(page) as server:
        account.setenv("AWS_ENDPOINT_URL", server.endpoint)
        arguments = () if command == "runs" else ("good-20261122-150531-3f9a1c",)
        assert_error(cli(command, *arguments), REFUSED, "answer", "check the network, the proxy")


@pytest.mark.parametrize("endpoint", ["localhost:4566", "http://[bad"])
def test_a_malformed_endpoint(
    account: pytest.MonkeyPatch, cli: Cli, file: str, endpoint: str
) -> None:
    account.setenv("AWS_ENDPOINT_URL", endpoint)
    assert_refused(cli, file, REFUSED, "AWS_ENDPOINT_URL")
    assert_error(cli("runs"), REFUSED, "AWS_ENDPOINT_URL")


def test_mistakes_of_pipeline_and_account_are_reported_at_once(
    account: pytest.MonkeyPatch, cli: Cli
) -> None:
    account.setenv("FLOWYML_AWS_STORE", "s3://no-such-bucket/prefix")
    account.setenv("FLOWYML_AWS_QUEUES", "flowyml-emulator_t4")
    bad = GOOD + "@step\ndef two(learning_rate):\n    return 2\npipeline.add_step(two)\n"
    parts = ("3 problems", "no-such-bucket", "flowyml-emulator_t4", "learning_rate")
    assert_refused(cli, write_file(bad), MISTAKE, *parts)


def test_no_region(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    account.delenv("AWS_DEFAULT_REGION")
    assert_refused(cli, file, REFUSED, "1 problem", "You must specify a region", "AWS_REGION")


def test_a_store_that_denies_reading_runs(account: pytest.MonkeyPatch, cli: Cli, file: str) -> None:
    with refusing(403, "AccessDenied", "Access Denied") as endpoint:
        account.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        assert_error(cli("runs"), REFUSED, "s3:ListBucket")
        assert_error(cli("status", "a-20261122-150531-3f9a1c"), REFUSED, "s3:GetObject")
