from __future__ import annotations

import pytest

from flowyml_aws.core.errors import RunNotFoundError
from flowyml_aws.planning.plan import PlannedApproval, ReusedStep
from flowyml_aws.submission.job_names import declared_jobs, declared_steps, find_jobs
from tests.support.maps import a_map, a_map_job
from tests.support.plans import a_job, a_plan

PREPARE = a_job("prepare-g", steps=("prepare/clean", "prepare/inner/add"))
PLAN = a_plan(a_job("load"), PREPARE, a_map_job(1, 2), a_map_job(3, 4), a_job("best")).model_copy(
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
        ("prepare/clean", ["prepare-g"]),
        ("prepare", ["prepare-g"]),
        ("prepare/inner", ["prepare-g"]),
    ],
)
def test_jobs_are_found_by_their_name_their_steps_and_their_items(
    name: str, jobs: list[str]
) -> None:
    assert [job.name for job in find_jobs(PLAN, name, "r-1")] == jobs


def test_an_unknown_job_is_an_error_with_declared_names() -> None:
    with pytest.raises(RunNotFoundError, match="no job 'trian'") as caught:
        find_jobs(PLAN, "trian", "r-1")
    assert caught.value.why == "its jobs are load, prepare-g, train, best"
    assert caught.value.fix == "did you mean 'train'?"


@pytest.mark.parametrize(
    ("name", "why", "fix"),
    [
        ("release", "'release' is an approval, which no job runs", "see `flowyml-aws approvals"),
        ("split", "step 'split' was reused from run r-0", "name that run: r-0"),
        ("other", "step 'other' is skipped: not taken", "name a step that runs"),
    ],
)
def test_the_error_says_why_a_step_is_in_no_job(name: str, why: str, fix: str) -> None:
    reused = {
        "split": ReusedStep(produces=("rows",), run_id="r-0"),
        "other": ReusedStep(produces=("other",), skipped={"other": "not taken"}),
    }
    approvals = {"release": PlannedApproval(after=("load",), timeout_s=60.0)}
    plan = a_plan(a_job("load")).model_copy(update={"reused": reused, "approvals": approvals})
    with pytest.raises(RunNotFoundError) as caught:
        find_jobs(plan, name, "r-1")
    assert caught.value.why == why
    assert caught.value.fix.startswith(fix)


def test_names_for_completion_are_declared_ones() -> None:
    assert declared_jobs(PLAN) == ["load", "prepare-g", "train", "best"]
    names = ["train", "load", "prepare/clean", "prepare/inner/add", "best"]
    assert declared_steps(PLAN) == names


def test_an_item_of_a_produced_list_may_be_in_any_job_of_its_step() -> None:
    parts = [a_job(f"t-{n}", steps=(f"train{{{n}/2}}",), mapped=("train",)) for n in (1, 2)]
    plan = a_plan(*parts, a_job("best")).model_copy(update={"maps": {"train": a_map(9, parts=2)}})
    assert [job.name for job in find_jobs(plan, "train[7]", "r-1")] == ["t-1", "t-2"]
    assert [job.name for job in find_jobs(plan, "train{2/2}", "r-1")] == ["t-2"]
    with pytest.raises(RunNotFoundError):
        find_jobs(plan, "best[7]", "r-1")
