from __future__ import annotations

from datetime import date

import pytest

from flowyml_aws.aws.checks.caller import judge_clock, judge_expiry
from flowyml_aws.aws.checks.image import EcrImage, ecr_image, judge_python, python_of
from flowyml_aws.aws.checks.queues import (
    environment_findings,
    queue_findings,
    quota_findings,
    quotas_of,
    used_queues,
)
from flowyml_aws.aws.checks.roles import trusts
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.errors import SettingsError
from tests.aws.batch.test_runnable import a_queue, an_environment

CATALOG = load_catalog()
NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("expires_at", "is_renewed", "level", "text"),
    [
        (NOW + 7 * 3600, False, "ok", "expire in 7 h 00 min"),
        (NOW + 1200, False, "warning", "expire in 20 min"),
        (NOW - 1, False, "error", "have expired"),
        (NOW + 1200, True, "ok", "boto3 renews them"),
    ],
)
def test_the_expiry_of_credentials_is_reported(
    expires_at: float, is_renewed: bool, level: str, text: str
) -> None:
    (finding,) = judge_expiry(expires_at, is_renewed, NOW)
    assert finding.level == level
    assert text in finding.what
    assert level == "ok" or "aws sso login" in finding.fix


def test_credentials_without_an_expiry_have_no_finding() -> None:
    assert not judge_expiry(None, False, NOW)


@pytest.mark.parametrize(
    ("skew_s", "level", "text"),
    [
        (0, "ok", "agrees"),
        (59, "ok", "agrees"),
        (-90, "warning", "2 min behind"),
        (120, "warning", "2 min ahead of"),
        (301, "error", "5 min ahead of"),
        (-7200, "error", "2 h 00 min behind"),
    ],
)
def test_a_clock_skew_that_aws_does_not_accept_is_an_error(
    skew_s: float, level: str, text: str
) -> None:
    finding = judge_clock(aws_time=NOW, local_time=NOW + skew_s)
    assert finding.level == level
    assert text in finding.what
    assert level == "ok" or "set the clock" in finding.fix


ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("uri", "image"),
    [
        (f"{ECR}/team/jobs:v1", EcrImage("123456789012", "eu-west-1", "team/jobs", "v1", None)),
        (f"{ECR}/jobs", EcrImage("123456789012", "eu-west-1", "jobs", "latest", None)),
        (
            f"{ECR}/jobs@sha256:{'a' * 64}",
            EcrImage("123456789012", "eu-west-1", "jobs", None, f"sha256:{'a' * 64}"),
        ),
        ("python:3.11", None),
        ("public.ecr.aws/docker/library/python:3.11", None),
    ],
)
def test_the_uri_of_an_ecr_image_is_parsed(uri: str, image: EcrImage | None) -> None:
    assert ecr_image(uri) == image


@pytest.mark.parametrize(
    ("tags", "python"),
    [
        (["py3.11-cpu-0a1b"], "3.11"),
        (["gpu-python3.12"], "3.12"),
        (["cp310"], "3.10"),
        (["v1", "py3.13"], "3.13"),
        (["latest"], None),
        (["v3.11"], None),
        (["py3.11", "py3.12"], None),
        ([], None),
    ],
)
def test_the_python_version_is_read_from_unambiguous_tags(
    tags: list[str], python: str | None
) -> None:
    assert python_of(tags) == python


def test_another_python_version_in_the_image_is_an_error() -> None:
    finding = judge_python("3.12", "3.11")
    assert (finding.code, finding.level) == ("python-differs", "error")
    assert "Python 3.12, this machine 3.11" in finding.what
    assert judge_python("3.11", "3.11").level == "ok"
    assert judge_python(None, "3.11").level == "note"


def trust_policy(**members: object) -> dict[str, object]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
        **members,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.mark.parametrize(
    ("policy", "is_trusting"),
    [
        (trust_policy(), True),
        (trust_policy(Principal={"Service": ["x", "ecs-tasks.amazonaws.com"]}), True),
        (trust_policy(Action=["sts:TagSession", "sts:AssumeRole"]), True),
        ({"Statement": trust_policy()["Statement"][0]}, True),  # type: ignore[index]  # a statement, not a list
        (trust_policy(Principal="*"), True),
        (trust_policy(Principal={"Service": "ec2.amazonaws.com"}), False),
        (trust_policy(Principal={"AWS": "arn:aws:iam::123456789012:root"}), False),
        (trust_policy(Effect="Deny"), False),
        (trust_policy(Action="sts:TagSession"), False),
        ({}, False),
    ],
)
def test_a_role_is_usable_if_its_trust_policy_allows_the_service(
    policy: dict[str, object], is_trusting: bool
) -> None:
    assert trusts(policy, "ecs-tasks.amazonaws.com") is is_trusting


def test_missing_queues_are_reported_together_with_existing_ones() -> None:
    queues = {"gpu-t4": a_queue()}
    findings = queue_findings(queues, ["gpu-t4", "gpu_t4"])
    assert [(finding.code, finding.level) for finding in findings] == [
        ("queue-missing", "error"),
        ("queue", "ok"),
    ]
    with pytest.raises(SettingsError, match="Queue 'nothing' does not exist"):
        used_queues(queues, ["nothing"])
    with pytest.raises(SettingsError, match="no job queue"):
        used_queues({}, [])


def test_a_queue_that_is_being_created_is_an_error_and_one_that_is_being_changed_is_not() -> None:
    (finding,) = queue_findings({"gpu-t4": a_queue(status="CREATING")}, ["gpu-t4"])
    assert (finding.code, finding.level) == ("queue-creating", "error")
    assert "in a minute" in finding.fix
    (finding,) = queue_findings({"gpu-t4": a_queue(status="UPDATING")}, ["gpu-t4"])
    assert (finding.code, finding.level) == ("queue", "ok")


@pytest.mark.parametrize(
    ("environment", "code", "level", "text"),
    [
        (an_environment(), "environment", "ok", "up to 256 vCPUs"),
        (an_environment(kind="SPOT"), "environment", "ok", "on spot"),
        (an_environment(state="DISABLED"), "environment-disabled", "error", "DISABLED"),
        (an_environment(types=("p3.2xlarge",)), "no-type-given", "error", "withdrawn"),
        (an_environment(max_vcpus=2), "no-type-given", "error", "allows 2 in all"),
        (an_environment(max_vcpus=0), "max-vcpus-too-low", "error", "maxvCpus=64"),
        (an_environment(max_vcpus=32), "types-closed", "note", "not available"),
    ],
)
def test_a_compute_environment_is_reported_with_its_capacity_or_its_fault(
    environment: object, code: str, level: str, text: str
) -> None:
    (finding,) = environment_findings([a_queue(environment)], None, CATALOG)  # type: ignore[arg-type]
    assert (finding.code, finding.level) == (code, level)
    assert text in str(finding)


def test_types_that_can_not_have_the_efa_of_their_environment_are_an_error() -> None:
    types = ("g4dn.xlarge", "g4dn.12xlarge")
    with_efa = a_queue(an_environment(types=types, tags={"flowyml-aws-efa": "1"}))
    _, finding = environment_findings([with_efa], None, CATALOG)
    assert (finding.code, finding.level) == ("types-without-efa", "error")
    assert finding.what.endswith("has the tag flowyml-aws-efa, and names g4dn.xlarge")
    only_those = a_queue(an_environment(types=types[1:], tags={"flowyml-aws-efa": "1"}))
    assert [f.code for f in environment_findings([only_those], None, CATALOG)] == ["environment"]


def test_a_machine_image_without_a_gpu_driver_is_a_warning() -> None:
    queue = a_queue(an_environment(images=("ECS_AL2",)))
    codes = [finding.code for finding in environment_findings([queue], None, CATALOG)]
    assert codes == ["environment", "no-gpu-image"]
    without_gpus = a_queue(an_environment(images=("ECS_AL2",), types=("m6i.large",)))
    findings = environment_findings([without_gpus], None, CATALOG)
    assert [finding.code for finding in findings] == ["environment"]


@pytest.mark.parametrize(
    ("types", "strategy", "codes"),
    [
        (("c6i", "m6i.large"), "BEST_FIT_PROGRESSIVE", ["environment", "families-named"]),
        (("c6i",), "SPOT_PRICE_CAPACITY_OPTIMIZED", ["environment", "families-named"]),
        (("c6i.large", "m6i.large"), "BEST_FIT_PROGRESSIVE", ["environment"]),
        (("c6i",), "BEST_FIT", ["environment"]),
    ],
)
def test_an_environment_that_names_families_may_start_large_types(
    types: tuple[str, ...], strategy: str, codes: list[str]
) -> None:
    queue = a_queue(an_environment(types=types, strategy=strategy))
    findings = list(environment_findings([queue], None, CATALOG))
    assert [finding.code for finding in findings] == codes
    assert all("c6i" in str(finding) for finding in findings[1:])


def test_a_quota_is_compared_with_the_instance_types_that_it_limits() -> None:
    wanted = quotas_of([a_queue(an_environment(types=("g4dn", "m6i.large")))], CATALOG)
    smallest = {quota.code: types[0].name for quota, types in wanted.items()}
    assert smallest == {"L-DB2E81BA": "g4dn.xlarge", "L-1216C47A": "m6i.large"}

    def codes(limit: int) -> list[str]:
        limits = {"L-DB2E81BA": limit, "L-1216C47A": 4096}
        return [finding.code for finding in quota_findings(wanted, limits, "us-east-1")]

    (too_low, _) = quota_findings(wanted, {"L-DB2E81BA": 0, "L-1216C47A": 4096}, "eu-west-1")
    assert (
        "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code "
        "L-DB2E81BA --desired-value 4 --region eu-west-1" in too_low.fix
    )
    assert codes(0) == ["quota-too-low", "quota"]
    assert codes(8) == ["quota-below-some", "quota"]
    assert codes(4096) == ["quota", "quota"]
    assert not list(quota_findings(wanted, {}, "us-east-1"))


def test_notes_on_an_old_catalog_contain_a_fix() -> None:
    assert all(": " in note for note in CATALOG.notes(date(2030, 1, 1)))
