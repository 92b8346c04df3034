"""Tests with the SageMaker SDK, in separate processes because its import takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("sagemaker-runs")]


def _is_installed() -> bool:
    try:
        return bool(version("sagemaker-core"))
    except PackageNotFoundError:
        return False


with_sdk = pytest.mark.skipif(not _is_installed(), reason="the extra `sagemaker` is not installed")

DEFAULTS = """
SchemaVersion: "1.0"
SageMaker:
  TrainingJob:
    RoleArn: arn:aws:iam::123456789012:role/the-organizations
    VpcConfig:
      SecurityGroupIds: [sg-1]
      Subnets: [subnet-1]
    Tags:
      - {Key: cost-centre, Value: "7"}
"""
PRINT_TRAINING_JOB = """
import sys
from flowyml_aws import Run
job = Run.attach(sys.argv[1]).jobs["first"].training_job()
print(job.training_job_name, job.training_job_status)
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@with_sdk
def test_a_job_is_returned_as_the_sdks_training_job(aws: Emulator, rig: BackendRig) -> None:
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    with rig.client("-c", PRINT_TRAINING_JOB, run.id) as client:
        out, err = client.communicate(timeout=120)
    assert out.split() == [f"{run.id}-first-1", "InProgress"], err
    run.cancel()


@with_sdk
def test_the_organizations_defaults_apply_if_the_settings_are_missing(
    aws: Emulator, rig: BackendRig
) -> None:
    config = rig.folder / "config.yaml"
    config.write_text(DEFAULTS, "utf-8")
    rig.write("waiting")
    settings = {n: v for n, v in rig.environment.items() if n != "FLOWYML_AWS_SAGEMAKER_ROLE"}
    variables = {"SAGEMAKER_USER_CONFIG_OVERRIDE": str(config), "FLOWYML_AWS_TAGS": '{"team": "a"}'}
    other_rig = BackendRig("sagemaker", rig.folder, {**settings, **variables})
    code, out, err = other_rig.command(
        *("run", "waiting.py", "--backend", "sagemaker", "--detach"),
        *("--context", f"trace={rig.trace}"),
    )
    assert code == 0, err
    run_id = out.split()[0]
    (job_id,) = [job["jobId"] for job in _drivers(aws, run_id)]
    (driver,) = aws.client("batch").describe_jobs(jobs=[job_id])["jobs"]
    # The driver gets the defaults as variables, because its machine has no such file.
    values = {v["name"]: v["value"] for v in driver["container"]["environment"]}
    assert (
        values["FLOWYML_AWS_SAGEMAKER_ROLE"] == "arn:aws:iam::123456789012:role/the-organizations"
    )
    assert values["FLOWYML_AWS_SAGEMAKER_SUBNETS"] == "subnet-1"
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    name = f"{run_id}-first-1"
    job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["RoleArn"] == "arn:aws:iam::123456789012:role/the-organizations"
    assert job["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    Run.attach(run_id).cancel()


@with_sdk
def test_a_malformed_configuration_is_an_error_that_names_its_variables(rig: BackendRig) -> None:
    config = rig.folder / "config.yaml"
    config.write_text("SageMaker: [", "utf-8")
    rig.write("waiting")
    environment = {**rig.environment, "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config)}
    other_rig = BackendRig("sagemaker", rig.folder, environment)
    code, _, err = other_rig.command("run", "waiting.py", "--backend", "sagemaker")
    assert code == 2
    assert "The SageMaker SDK's configuration can't be read" in err
    assert "SAGEMAKER_USER_CONFIG_OVERRIDE" in err


def test_without_the_sdk_the_error_names_the_package_to_install(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rig.pipeline("waiting").submit(backend="sagemaker")
    run.cancel()
    monkeypatch.setitem(sys.modules, "sagemaker.core.resources", None)
    with pytest.raises(SettingsError, match=r"flowyml-aws\[sagemaker\]"):
        run.jobs["first"].training_job()


def _drivers(aws: Emulator, run_id: str) -> list[dict[str, str]]:
    names = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue="flowyml-emulator-cpu", filters=names)
    return list(listed["jobSummaryList"])
