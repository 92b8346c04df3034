from __future__ import annotations

from typing import Any

import pytest

from flowyml_aws.core.environment import environment_problems, looks_secret, merge_environments
from flowyml_aws.core.errors import InvalidEnvironmentError


def problems(env: object) -> list[str]:
    found = environment_problems(env, "step 'train'")
    assert all(isinstance(problem, InvalidEnvironmentError) for problem in found)
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    "env",
    [
        None,
        {},
        {"LEVEL": "9", "_x1": "", "TZ": "Europe/Berlin", "LANG": "de_DE.UTF-8"},
        {"TOKENIZERS_PARALLELISM": "false", "MAX_TOKENS": "512", "KEYS": "a,b", "PASS": "2"},
        {"MODE": "risk-averse-2024-01-01", "CACHE": "hf_transfer", "REVISION": "0123abcd" * 5},
        {"DB_SECRET": "arn:aws:secretsmanager:eu-west-3:123456789012:secret:db"},
        {"URL": "https://example.com:8080/a@b", "TEXT": "grüße"},
    ],
)
def test_ordinary_variables_have_no_problems(env: Any) -> None:
    assert problems(env) == []


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä", 3, None])
def test_an_invalid_name_is_a_mistake(name: object) -> None:
    (problem,) = problems({name: "x"})
    assert f"Environment variable {name!r} of step 'train' has an invalid name" in problem


@pytest.mark.parametrize("value", [9, 1.5, True, None, ["a"]])
def test_a_value_that_is_not_a_string_is_a_mistake_whose_fix_is_a_string(value: object) -> None:
    (problem,) = problems({"LEVEL": value})
    assert f"'LEVEL' of step 'train' must be a string, got {type(value).__name__}" in problem
    assert 'fix: write a string, such as env={"LEVEL": "9"}' in problem


@pytest.mark.parametrize("value", ["a\0b", "a\udcffb"])
def test_a_value_that_no_process_can_have_is_a_mistake(value: str) -> None:
    (problem,) = problems({"LEVEL": value})
    assert "contains a character" in problem


@pytest.mark.parametrize("env", [["A=b"], "A=b", 3])
def test_anything_but_a_mapping_is_a_mistake(env: object) -> None:
    (problem,) = problems(env)
    assert f"Invalid env of step 'train': expected a mapping, got {type(env).__name__}" in problem


@pytest.mark.parametrize(
    "name",
    [
        "FLOWYML_ATTEMPT",
        "FLOWYML_AWS_STORE",
        "AWS_BATCH_JOB_ID",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "SM_MODEL_DIR",
        "TRAINING_JOB_NAME",
        "PYTHONHASHSEED",
        "PYTHONIOENCODING",
        "PYTHONUNBUFFERED",
    ],
)
def test_a_reserved_name_is_a_mistake(name: str) -> None:
    (problem,) = problems({name: "hidden"})
    assert f"Environment variable {name!r} of step 'train' is reserved" in problem
    assert "hidden" not in problem


@pytest.mark.parametrize(
    "name",
    [
        "SECRET",
        "db_password",
        "MYSQL_PASSWD",
        "OPENAI_API_KEY",
        "APIKEY",
        "HF_TOKEN",
        "MINIO_ACCESS_KEY",
        "SSH_PRIVATE_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ],
)
def test_a_name_that_looks_secret_is_a_mistake_that_does_not_show_the_value(name: str) -> None:
    (problem,) = problems({name: "hidden"})
    assert f"Environment variable {name!r} of step 'train' looks like a secret" in problem
    assert "AWS Secrets Manager" in problem
    assert "hidden" not in problem
    assert looks_secret(name)


# Some values are in two parts: no file of the repository contains what looks like a secret.
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("ASIAIOSFODNN7EXAMPLE", "an AWS access key"),
        ("-----" + "BEGIN RSA PRIVATE KEY-----\nMII", "a private key"),
        ("ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a", "a token of GitHub"),
        ("github_pat_11ABCDEFG0", "a token of GitHub"),
        ("sk-proj-abcdef1234567890abcdef", "an API key"),
        ("hf_abcdefghijklmnopqrstuvwxyzabcdefgh", "a token of Hugging Face"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "a JSON web token"),
        ("postgresql://user:pa55@db.example.com/x", "a URL with a password"),
        ("redis://:pa55@cache:6379", "a URL with a password"),
    ],
)
def test_a_value_that_looks_secret_is_a_mistake_that_does_not_show_it(
    value: str, kind: str
) -> None:
    (problem,) = problems({"SETTING": value})
    assert f"its value looks like {kind}" in problem
    assert value not in problem


def test_all_mistakes_are_found_at_once() -> None:
    assert len(problems({"1A": "x", "LEVEL": 9, "HF_TOKEN": "x", "SM_X": "x"})) == 4


def test_later_variables_override_earlier_ones_and_invalid_ones_are_left_out() -> None:
    merged = merge_environments({"A": "1", "B": "1"}, None, ["x"], {"B": "2", "C": 3, 4: "d"})
    assert merged == {"A": "1", "B": "2"}
