"""The view of a run that a condition with one parameter gets."""

from __future__ import annotations

import pytest

from flowyml_aws.core.run_view import NotInViewError, RunView, Viewed
from flowyml_aws.core.skipped import Skipped

VIEWED = Viewed(
    {"evaluate": {"metrics": "metrics"}}, {"rows": "rows"}, {"limit": "limit"}, optional=True
)


def view(rows: object = 5) -> RunView:
    return RunView(VIEWED, {"metrics": {"accuracy": 0.9}, "rows": rows}, {"limit": 1, "other": 2})


def test_values_are_read_by_step_by_asset_and_by_parameter() -> None:
    seen = view()
    assert seen.steps["evaluate"].outputs["metrics"]["accuracy"] == 0.9
    assert seen.steps["evaluate"].outputs["metrics"].accuracy == 0.9
    assert (seen["rows"], seen["limit"], seen.params["limit"]) == (5, 1, 1)
    assert dict(seen.params) == {"limit": 1}


@pytest.mark.parametrize(
    ("part", "name", "fix"),
    [
        ("steps", "evaluate_", "did you mean 'evaluate'?"),
        ("params", "other", 'write the name as a string in the condition: ctx.steps["evaluate"]'),
    ],
)
def test_what_the_view_does_not_contain_is_an_error_that_says_what_to_do(
    part: str, name: str, fix: str
) -> None:
    with pytest.raises(NotInViewError) as caught:
        getattr(view(), part)[name]
    assert caught.value.fix.startswith(fix)


def test_a_skipped_asset_is_not_in_the_view() -> None:
    seen = view(Skipped("rows", "the condition of step 'load' is false"))
    assert "rows" not in seen
    with pytest.raises(NotInViewError, match="the condition of step 'load' is false"):
        seen["rows"]
