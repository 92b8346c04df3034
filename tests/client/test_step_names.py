"""Names of the steps of a run in commands about one step."""

from __future__ import annotations

import pytest

from flowyml_aws.client.step_names import named_step
from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.planning.plan import PlannedApproval, ReusedStep
from tests.support.maps import a_map, a_map_job
from tests.support.plans import a_job, a_plan

PARTS = a_job("score-1", steps=("score{1/2}",), mapped=("score",))
PLAN = a_plan(
    a_job("prepare-g", steps=("prepare/clean",)), a_map_job(1, 2), a_job("best"), PARTS
).model_copy(
    update={
        "maps": {"train": a_map(3), "score": a_map(2, parts=2)},
        "approvals": {"release": PlannedApproval(after=(), timeout_s=1)},
        "reused": {
            "train[0]": ReusedStep(produces=("model[0]",), run_id="r-0"),
            "old": ReusedStep(produces=("o",)),
            "left": ReusedStep(produces=("l",), skipped={"l": "case a was chosen"}),
        },
    }
)


@pytest.mark.parametrize(
    ("name", "item", "step"),
    [
        ("best", None, "best"),
        ("prepare/clean", None, "prepare/clean"),
        ("train", 2, "train[2]"),
        ("train[2]", None, "train[2]"),
        ("score", 70, "score[70]"),
    ],
)
def test_a_step_is_named_as_in_the_plan_and_an_item_by_its_position(
    name: str, item: int | None, step: str
) -> None:
    assert named_step(PLAN, "r-1", name, item) == step


@pytest.mark.parametrize(
    ("name", "item", "what", "fix"),
    [
        ("bset", None, "Run r-1 has no step 'bset'", "did you mean 'best'?"),
        ("train[9]", None, "Run r-1 has no step 'train[9]'", "did you mean 'train'?"),
        ("train", None, "Step 'train' is mapped", "add --item with its position"),
        ("train", 3, "Step 'train' has no item 3", "name one of them"),
        ("best", 0, "--item 0 does not fit step 'best'", "omit --item"),
        ("train[1]", 1, "--item 1 does not fit step 'train[1]'", "omit --item"),
        ("train", 0, "Step 'train[0]' was not executed", "flowyml-aws replay r-0 train[0]"),
        ("old", None, "Step 'old' was not executed", "`flowyml-aws runs` lists them"),
        ("left", None, "Step 'left' was not executed", "`flowyml-aws runs` lists them"),
        ("release", None, "'release' is an approval", "name a step of a job"),
    ],
)
def test_a_step_that_no_job_executes_is_refused(
    name: str, item: int | None, what: str, fix: str
) -> None:
    with pytest.raises(StepUnavailableError) as caught:
        named_step(PLAN, "r-1", name, item)
    assert what in caught.value.what
    assert fix in caught.value.fix
