"""With the SageMaker SDK, in processes of their own: importing it takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import pytest

from flowyml_aws import Run
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.testing import Emulator
from tests.support.places import Place, eventually

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
    RoleArn: arn:aws:iam::123456789012:role/the-organisations
    VpcConfig:
      SecurityGroupIds: [sg-1]
      Subnets: [subnet-1]
    Tags:
      - {Key: cost-centre, Value: "7"}
"""
LOOK = """
import sys
from flowyml_aws import Run
job = Run.attach(sys.argv[1]).jobs["first"].training_job()
print(job.training_job_name, job.training_job_status)
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as aws:
        yield aws


@with_sdk
def test_a_job_is_handed_back_as_the_sdks_training_job(aws: Emulator, place: Place) -> None:
    run = place.pipeline("waiting").submit("sagemaker")
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    with place.client("-c", LOOK, run.id) as client:
        out, err = client.communicate(timeout=120)
    assert out.split() == [f"{run.id}-first-1", "InProgress"], err
    run.cancel()


@with_sdk
def test_an_organisations_defaults_hold_where_the_settings_say_nothing(
    aws: Emulator, place: Place
) -> None:
    config = place.folder / "config.yaml"
    config.write_text(DEFAULTS, "utf-8")
    place.write("waiting")
    settings = {n: v for n, v in place.environment.items() if n != "FLOWYML_AWS_SAGEMAKER_ROLE"}
    own = {"SAGEMAKER_USER_CONFIG_OVERRIDE": str(config), "FLOWYML_AWS_TAGS": '{"team": "a"}'}
    elsewhere = Place("sagemaker", place.folder, {**settings, **own})
    code, out, err = elsewhere.command(
        *("run", "waiting.py", "--backend", "sagemaker", "--detach"),
        *("--context", f"trace={place.trace}"),
    )
    assert code == 0, err
    run_id = out.split()[0]
    (job_id,) = [job["jobId"] for job in _drivers(aws, run_id)]
    (driver,) = aws.client("batch").describe_jobs(jobs=[job_id])["jobs"]
    # What the driver is told, as its machine has no such file.
    told = {v["name"]: v["value"] for v in driver["container"]["environment"]}
    assert told["FLOWYML_AWS_SAGEMAKER_ROLE"] == "arn:aws:iam::123456789012:role/the-organisations"
    assert told["FLOWYML_AWS_SAGEMAKER_SUBNETS"] == "subnet-1"
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    name = f"{run_id}-first-1"
    job = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["RoleArn"] == "arn:aws:iam::123456789012:role/the-organisations"
    assert job["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    Run.attach(run_id).cancel()


@with_sdk
def test_a_malformed_configuration_is_an_error_that_names_its_variables(place: Place) -> None:
    config = place.folder / "config.yaml"
    config.write_text("SageMaker: [", "utf-8")
    place.write("waiting")
    environment = {**place.environment, "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config)}
    elsewhere = Place("sagemaker", place.folder, environment)
    code, _, err = elsewhere.command("run", "waiting.py", "--backend", "sagemaker")
    assert code == 2
    assert "The SageMaker SDK's configuration can't be read" in err
    assert "SAGEMAKER_USER_CONFIG_OVERRIDE" in err


def test_without_the_sdk_the_handle_says_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = place.pipeline("waiting").submit("sagemaker")
    run.cancel()
    monkeypatch.setitem(sys.modules, "sagemaker.core.resources", None)
    with pytest.raises(SettingsError, match=r"flowyml-aws\[sagemaker\]"):
        run.jobs["first"].training_job()


def _drivers(aws: Emulator, run_id: str) -> list[dict[str, str]]:
    names = [{"name": "JOB_NAME", "values": [f"{run_id}-*"]}]
    listed = aws.client("batch").list_jobs(jobQueue="cpu", filters=names)
    return list(listed["jobSummaryList"])
