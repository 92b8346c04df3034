"""References to secrets in `secrets=` of steps and pipelines."""

from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws import step
from flowyml_aws.core.binding import bind_steps
from flowyml_aws.core.build import build_pipeline
from flowyml_aws.core.secret_references import SecretReference, parse_reference, secret_problems

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/token-AbCdEf"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/team/token"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SECRET, SecretReference("secretsmanager", SECRET, "eu-west-1")),
        (
            f"{SECRET}:password::",
            SecretReference("secretsmanager", SECRET, "eu-west-1", "password"),
        ),
        (
            f"{SECRET}::AWSPREVIOUS:",
            SecretReference("secretsmanager", SECRET, "eu-west-1", stage="AWSPREVIOUS"),
        ),
        (PARAMETER, SecretReference("ssm", PARAMETER, "us-east-1")),
        ("/team/token", SecretReference("ssm", "/team/token")),
        ("token", SecretReference("ssm", "token")),
    ],
)
def test_a_reference_has_the_form_of_a_job_definition(text: str, expected: SecretReference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "/", "a b", "a//b", "arn:aws:s3:::bucket", "arn:aws:ssm:x", f"{SECRET}:key", "a:b", "é"],
)
def test_other_strings_are_no_references(text: str) -> None:
    assert parse_reference(text) is None


@pytest.mark.parametrize(
    ("secrets", "what"),
    [
        ("TOKEN", "Invalid secrets of the step: expected a mapping, got str"),
        ({"TO KEN": "token"}, "has an invalid name"),
        ({"AWS_SECRET_ACCESS_KEY": "token"}, "is reserved"),
        ({"LEVEL": "token"}, "is an environment variable, too"),
        ({"TOKEN": 5}, "has an invalid reference"),
        ({"TOKEN": "arn:aws:s3:::bucket/token"}, "has an invalid reference"),
    ],
)
def test_invalid_secrets_are_reported(secrets: object, what: str) -> None:
    (problem,) = secret_problems(secrets, {"LEVEL": "9"}, "the step")
    assert what in problem.what


def test_a_value_instead_of_a_reference_is_refused_without_repeating_it() -> None:
    value = "ghp_" + "A1" * 18
    (problem,) = secret_problems({"TOKEN": value}, None, "the step")
    assert "seems to be the value of a secret" in problem.why
    assert value not in str(problem)


def test_names_that_look_secret_are_allowed() -> None:
    assert secret_problems({"API_TOKEN": "token", "PASSWORD": SECRET}, {}, "the step") == []
    assert secret_problems(None, None, "the step") == []


def a_step(name: str, **options: Any) -> Any:
    @step(name=name, outputs=[name], execution_group="g", **options)
    def function() -> int:
        return 1

    return function


@pytest.mark.parametrize("other", [{"TOKEN": "another"}, {"LEVEL": "token"}])
def test_steps_of_a_group_must_agree_on_their_secrets(other: dict[str, str]) -> None:
    first = a_step("a", secrets={"TOKEN": "token"}, env={"LEVEL": "9"})
    built, problems = build_pipeline(bind_steps([first, a_step("b", secrets=other)]), ())
    assert built is None
    assert any("different values" in problem.what for problem in problems)


def test_a_group_has_the_secrets_of_its_steps() -> None:
    steps = [a_step("a", secrets={"TOKEN": "token"}), a_step("b", secrets={"KEY": SECRET})]
    built, _ = build_pipeline(bind_steps(steps), ())
    assert built is not None
    assert built.groups[0].secrets == {"TOKEN": "token", "KEY": SECRET}
