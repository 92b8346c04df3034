"""The note of a plan that its run needs a client although its service chains jobs."""

from __future__ import annotations

import pytest

from flowyml_aws.planning.held import held_notes
from tests.support.plans import a_job, a_plan


@pytest.mark.parametrize(("held", "words"), [(1, "1 job is"), (2, "2 jobs are")])
def test_a_plan_on_batch_says_that_held_jobs_need_a_client(held: int, words: str) -> None:
    jobs = [a_job(f"retrain-{number}", held=("decide",)) for number in range(held)]
    (note,) = held_notes(a_plan(a_job("g"), *jobs))
    assert note.startswith(f"{words} submitted or skipped after decide, only while a client")


@pytest.mark.parametrize("backend", ["sagemaker", "local"])
def test_other_services_always_need_a_client(backend: str) -> None:
    assert not list(held_notes(a_plan(a_job("retrain", held=("decide",), backend=backend))))


def test_a_plan_without_held_jobs_has_no_note() -> None:
    assert not list(held_notes(a_plan(a_job("g"))))
