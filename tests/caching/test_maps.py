"""Generated runs of a map: each has the values of a loop, and executes only what is new."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowyml_aws import Run
from flowyml_aws.runtime.result import StepState
from tests.support.effort import examples
from tests.support.rigs import BackendRig

pytestmark = pytest.mark.contract

Round = tuple[Sequence[int], int]
"""The items of a run, and the factor that each item gets."""

NUMBERS = st.lists(st.integers(0, 3), max_size=6)
ROUNDS = st.lists(st.tuples(NUMBERS, st.integers(1, 2)), min_size=2, max_size=4)


@examples(5)
@example(rounds=[([1, 2, 3, 4], 1), ([4, 0, 2, 2], 1), ([4, 0, 2, 2], 2)])
@given(rounds=ROUNDS)
def test_a_run_has_the_values_of_a_loop_and_executes_only_new_items(
    rounds: Sequence[Round],
) -> None:
    known: set[Round] = set()
    with tempfile.TemporaryDirectory() as folder:
        rig = BackendRig("local", Path(folder) / "project")
        with rig.entered():
            for numbers, factor in rounds:
                pipeline = rig.pipeline("products", number=[*numbers], factor=factor)
                result = pipeline.run(progress=False)
                products = [number * factor for number in numbers]
                assert (result["product"], result["total"]) == (products, sum(products))
                steps = Run.attach(result.run_id).status().steps
                executed = {n for n, each in steps.items() if each.state is not StepState.CACHED}
                expected = {
                    f"multiply[{index}]"
                    for index, number in enumerate(numbers)
                    if ((number,), factor) not in known
                }
                assert executed - {"add"} == expected
                known |= {((number,), factor) for number in numbers}
