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
from flowyml_aws.core.errors import SettingsError
from flowyml_aws.planning.catalog_files import load_catalog
from tests.aws.test_runnable import a_queue, an_environment

CATALOG = load_catalog()
NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("expires_at", "renewed", "level", "text"),
    [
        (NOW + 7 * 3600, False, "ok", "expire in 7 h 00 min"),
        (NOW + 1200, False, "warning", "expire in 20 min"),
        (NOW - 1, False, "error", "have expired"),
        (NOW + 1200, True, "ok", "boto3 renews them"),
    ],
)
def test_credentials_that_end_say_when(
    expires_at: float, renewed: bool, level: str, text: str
) -> None:
    (found,) = judge_expiry(expires_at, renewed, NOW)
    assert found.level == level
    assert text in found.what
    assert level == "ok" or "aws sso login" in found.fix


def test_credentials_without_an_end_say_nothing_of_it() -> None:
    assert not judge_expiry(None, False, NOW)


@pytest.mark.parametrize(
    ("off_s", "level", "text"),
    [
        (0, "ok", "agrees"),
        (59, "ok", "agrees"),
        (-90, "warning", "2 min behind"),
        (120, "warning", "2 min ahead of"),
        (301, "error", "5 min ahead of"),
        (-7200, "error", "2 h 00 min behind"),
    ],
)
def test_a_clock_that_is_off_by_more_than_aws_grants_is_an_error(
    off_s: float, level: str, text: str
) -> None:
    found = judge_clock(theirs=NOW, ours=NOW + off_s)
    assert found.level == level
    assert text in found.what
    assert level == "ok" or "set the clock" in found.fix


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
def test_an_image_s_uri_has_parts(uri: str, image: EcrImage | None) -> None:
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
def test_tags_may_tell_an_image_s_python(tags: list[str], python: str | None) -> None:
    assert python_of(tags) == python


def test_another_python_in_the_image_is_an_error() -> None:
    found = judge_python("3.12", "3.11")
    assert (found.code, found.level) == ("python-differs", "error")
    assert "Python 3.12, this machine 3.11" in found.what
    assert judge_python("3.11", "3.11").level == "ok"
    assert judge_python(None, "3.11").level == "note"


def allowing(**members: object) -> dict[str, object]:
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
        (allowing(), True),
        (allowing(Principal={"Service": ["x", "ecs-tasks.amazonaws.com"]}), True),
        (allowing(Action=["sts:TagSession", "sts:AssumeRole"]), True),
        ({"Statement": allowing()["Statement"][0]}, True),  # type: ignore[index]  # a list
        (allowing(Principal="*"), True),
        (allowing(Principal={"Service": "ec2.amazonaws.com"}), False),
        (allowing(Principal={"AWS": "arn:aws:iam::123456789012:root"}), False),
        (allowing(Effect="Deny"), False),
        (allowing(Action="sts:TagSession"), False),
        ({}, False),
    ],
)
def test_a_trust_policy_names_the_service(policy: dict[str, object], is_trusting: bool) -> None:
    assert trusts(policy, "ecs-tasks.amazonaws.com") is is_trusting


def test_missing_queues_are_told_beside_those_that_are_there() -> None:
    found = {"gpu-t4": a_queue()}
    told = [(one.code, one.level) for one in queue_findings(found, ["gpu-t4", "gpu_t4"])]
    assert told == [("queue-missing", "error"), ("queue", "ok")]
    with pytest.raises(SettingsError, match="Queue 'nothing' does not exist"):
        used_queues(found, ["nothing"])
    with pytest.raises(SettingsError, match="no job queue"):
        used_queues({}, [])


@pytest.mark.parametrize(
    ("environment", "code", "level", "text"),
    [
        (an_environment(), "environment", "ok", "up to 256 vCPUs"),
        (an_environment(kind="SPOT"), "environment", "ok", "on spot"),
        (an_environment(state="DISABLED"), "environment-disabled", "error", "DISABLED"),
        (an_environment(types=("p3.2xlarge",)), "no-type-given", "error", "withdrawn"),
        (an_environment(max_vcpus=2), "no-type-given", "error", "at most 2 in all"),
        (an_environment(max_vcpus=0), "max-vcpus-too-low", "error", "maxvCpus=64"),
        (an_environment(max_vcpus=32), "types-closed", "note", "can't be had"),
    ],
)
def test_a_compute_environment_tells_what_it_gives_or_why_it_gives_nothing(
    environment: object, code: str, level: str, text: str
) -> None:
    (found,) = environment_findings([a_queue(environment)], None, CATALOG)  # type: ignore[arg-type]
    assert (found.code, found.level) == (code, level)
    assert text in str(found)


def test_gpus_without_a_driver_are_a_warning() -> None:
    queue = a_queue(an_environment(images=("ECS_AL2",)))
    codes = [one.code for one in environment_findings([queue], None, CATALOG)]
    assert codes == ["environment", "no-gpu-image"]
    without_gpus = a_queue(an_environment(images=("ECS_AL2",), types=("m6i.large",)))
    assert [one.code for one in environment_findings([without_gpus], None, CATALOG)] == [
        "environment"
    ]


def test_a_quota_is_judged_by_the_types_that_count_towards_it() -> None:
    wanted = quotas_of([a_queue(an_environment(types=("g4dn", "m6i.large")))], CATALOG)
    smallest = {quota.code: types[0].name for quota, types in wanted.items()}
    assert smallest == {"L-DB2E81BA": "g4dn.xlarge", "L-1216C47A": "m6i.large"}

    def told(limit: int) -> list[str]:
        limits = {"L-DB2E81BA": limit, "L-1216C47A": 4096}
        return [one.code for one in quota_findings(wanted, limits)]

    assert told(0) == ["quota-too-low", "quota"]
    assert told(8) == ["quota-below-some", "quota"]
    assert told(4096) == ["quota", "quota"]
    assert not list(quota_findings(wanted, {}))


def test_an_old_catalog_has_a_fix() -> None:
    assert all(": " in note for note in CATALOG.notes(date(2030, 1, 1)))
