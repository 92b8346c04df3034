from __future__ import annotations

import pytest

from flowyml_aws.planning.environment import container_environment, process_environment
from tests.support.plans import a_job

RUNNER = {
    "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8:replace",
    "PYTHONUNBUFFERED": "1",
}


def test_a_container_has_utc_a_utf_8_locale_and_the_settings_of_the_runner() -> None:
    assert container_environment(a_job("train"), "eu-west-3") == {
        **RUNNER,
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "AWS_DEFAULT_REGION": "eu-west-3",
    }


def test_the_variables_of_a_job_override_time_zone_and_locale() -> None:
    own = {"TZ": "Europe/Berlin", "LANG": "de_DE.UTF-8", "LEVEL": "9"}
    found = container_environment(a_job("train", environment=own), "eu-west-3")
    assert found == {**RUNNER, **own, "AWS_DEFAULT_REGION": "eu-west-3"}


@pytest.mark.parametrize("name", ["LANG", "LC_ALL", "LC_TIME"])
def test_a_job_that_names_a_part_of_the_locale_gets_no_other_part(name: str) -> None:
    found = container_environment(a_job("train", environment={name: "fr_FR.UTF-8"}), "eu-west-3")
    assert {n: v for n, v in found.items() if n.startswith("L")} == {name: "fr_FR.UTF-8"}


def test_a_process_has_the_variables_of_the_client_and_of_its_job() -> None:
    client = {"PATH": "/bin", "LEVEL": "1", "TZ": "Asia/Tokyo", "PYTHONIOENCODING": "ascii"}
    found = process_environment(a_job("train", environment={"LEVEL": "9"}), client)
    # Empty, because the client may be part of a job that was executed again.
    assert found == {**client, **RUNNER, "LEVEL": "9", "FLOWYML_REPETITIONS": ""}


def test_a_job_gets_the_repetitions_whose_results_count() -> None:
    job = a_job("train", repetitions={"train": 1, "load": 2})
    expected = "load=2,train=1"
    assert process_environment(job, {})["FLOWYML_REPETITIONS"] == expected
    assert container_environment(job, "us-east-1")["FLOWYML_REPETITIONS"] == expected


@pytest.mark.parametrize(("seed", "expected"), [("7", "7"), ("random", "random"), ("", "0")])
def test_a_process_keeps_the_hash_seed_of_the_client(seed: str, expected: str) -> None:
    found = process_environment(a_job("train"), {"PYTHONHASHSEED": seed})
    assert found["PYTHONHASHSEED"] == expected
