from __future__ import annotations

import pytest

from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.planning.plan import ReusedStep
from flowyml_aws.submission.job_names import declared_jobs, declared_steps, find_jobs
from tests.support.maps import a_map, a_map_job
from tests.support.plans import a_job, a_plan

PLAN = a_plan(a_job("load"), a_map_job(1, 2), a_map_job(3, 4), a_job("best")).model_copy(
    update={
        "maps": {"train": a_map(5)},
        "reused": {"train[0]": ReusedStep(produces=("model[0]",), run_id="r-0")},
    }
)


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("best", ["best"]),
        ("train-3-4", ["train-3-4"]),
        ("train[2]", ["train-1-2"]),
        ("train", ["train-1-2", "train-3-4"]),
    ],
)
def test_jobs_are_found_by_their_name_their_steps_and_their_items(
    name: str, jobs: list[str]
) -> None:
    assert [job.name for job in find_jobs(PLAN, name, "r-1")] == jobs


def test_an_unknown_job_is_an_error_with_declared_names() -> None:
    with pytest.raises(RunNotFoundError, match="no job 'trian'") as caught:
        find_jobs(PLAN, "trian", "r-1")
    assert caught.value.why == "its jobs are load, train, best"
    assert caught.value.fix == "did you mean 'train'?"


def test_names_for_completion_are_declared_ones() -> None:
    assert declared_jobs(PLAN) == ["load", "train", "best"]
    assert declared_steps(PLAN) == ["train", "load", "best"]
