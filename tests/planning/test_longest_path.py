from __future__ import annotations

from collections.abc import Mapping

import pytest

from flowyml_aws.planning.longest_path import longest_path_s
from flowyml_aws.planning.plan import ExecutionPlan
from tests.support.plans import a_job, a_plan

DIAMOND = a_plan(
    a_job("load"),
    a_job("left", after=["load"]),
    a_job("right", after=["load"]),
    a_job("total", after=["left", "right"]),
)


@pytest.mark.parametrize(
    ("plan", "limits_s", "expected_s"),
    [
        (DIAMOND, {"load": 10, "left": 20, "right": 5, "total": 100}, 130),
        (a_plan(a_job("a"), a_job("b")), {"a": 10, "b": 30}, 30),
        (DIAMOND, {"load": 10, "left": 20, "right": None, "total": 100}, None),
        (a_plan(), {}, 0),
    ],
)
def test_the_limits_along_the_longest_path_are_added(
    plan: ExecutionPlan, limits_s: Mapping[str, int | None], expected_s: int | None
) -> None:
    assert longest_path_s(plan, limits_s) == expected_s
