from __future__ import annotations

import os
from typing import Any

from flowyml_aws import step
from flowyml_aws.packaging.environment_notes import ClientEnvironment, environment_notes
from tests.support.plans import a_job, a_plan


@step
def train() -> Any:
    return os.environ["LEVEL"], os.environ["HOME"], os.environ["AWS_REGION"], os.getenv("HF_TOKEN")


@step
def score() -> str:
    return os.environ["LEVEL"]


def notes(*jobs: Any, zone: str | None = None, **variables: str) -> list[str]:
    client = ClientEnvironment(variables, zone, "de_DE.UTF-8")
    return list(environment_notes(a_plan(*jobs), [train, score], client))


def test_a_variable_that_only_this_machine_sets_is_named_without_its_value() -> None:
    (note,) = notes(a_job("train"), LEVEL="hidden", OTHER="x", HOME="/home", AWS_REGION="x")
    assert note == (
        "LEVEL is read by step 'train' and set only on this machine: pass env={'LEVEL': …}"
    )


def test_several_steps_that_read_a_variable_have_one_note() -> None:
    (note,) = notes(a_job("train"), a_job("score"), LEVEL="9")
    assert note.startswith("LEVEL is read by step 'train' and 1 more and set only on this machine")


def test_a_variable_that_looks_secret_is_to_be_read_from_a_secret_store() -> None:
    (note,) = notes(a_job("train"), HF_TOKEN="hidden")
    assert "HF_TOKEN is read by step 'train'" in note
    assert "AWS Secrets Manager" in note
    assert "hidden" not in note
    assert "env=" not in note


def test_a_variable_that_the_job_has_is_not_named() -> None:
    given = a_job("train", environment={"LEVEL": "1"})
    assert notes(given, LEVEL="9") == []
    (note,) = notes(given, a_job("score"), LEVEL="9")
    assert "'score'" in note


def test_a_variable_that_is_not_set_here_is_not_named() -> None:
    assert notes(a_job("train")) == []


def test_jobs_of_this_machine_have_its_variables_and_time_zone() -> None:
    local = a_job("train", backend="local")
    assert notes(local, zone="Europe/Berlin", LEVEL="9") == []
    (note,) = notes(local, a_job("score", backend="sagemaker"), LEVEL="9")
    assert "'score'" in note


def test_the_time_zone_and_the_locale_of_jobs_are_stated_if_the_zone_here_differs() -> None:
    assert notes(a_job("train"), zone="Europe/Berlin") == [
        "jobs run in UTC and the locale C.UTF-8; this machine uses Europe/Berlin and "
        "de_DE.UTF-8: env={'TZ': …, 'LANG': …} changes this"
    ]
    assert notes(a_job("train"), zone=None) == []


def test_jobs_that_name_their_time_zone_have_no_note_on_it() -> None:
    named = a_job("train", environment={"TZ": "Asia/Tokyo"})
    assert notes(named, zone="Europe/Berlin") == []
    assert len(notes(named, a_job("score"), zone="Europe/Berlin")) == 1
    (note,) = notes(a_job("train", environment={"LANG": "C"}), zone="Europe/Berlin")
    assert note == "jobs run in UTC; this machine uses Europe/Berlin: env={'TZ': …} changes this"
