"""A run gives what calling the steps in order gives, each step with its own copy of its inputs.

Grouping, retries, conditions, and values from the cache change nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.support.caching_machine import CompletedRun, Machine, Program, temporary_machine
from tests.support.effort import examples
from tests.support.random_pipelines import (
    CONTEXT,
    RandomPipeline,
    plain_values,
    random_pipelines,
    source_of,
)


def run(machine: Machine, source: str, expected_source: str) -> CompletedRun:
    """Run a program, and compare it with plain calls of one whose steps do not fail at first."""
    program = Program(source, CONTEXT)
    expected = plain_values(Program(expected_source, CONTEXT).steps)
    returned: dict[str, Any] = {}

    def keep(step: str, value: Any) -> Any:
        returned[step] = copy.deepcopy(value)
        return value

    completed = machine.run(program, wrapper=keep)
    for step in program.steps:
        if step.name in returned:
            assert step.split_outputs(returned[step.name]) == {a: expected[a] for a in step.assets}
    assert {a: machine.value(completed, a) for a in completed.refs} == {
        a: expected[a] for a in completed.refs
    }
    assert set(completed.skipped).isdisjoint(expected)
    return completed


@examples(15)
@given(pipeline=random_pipelines(), data=st.data())
def test_a_run_gives_what_plain_calls_on_copies_give(
    pipeline: RandomPipeline, data: st.DataObject
) -> None:
    size = len(pipeline.names)
    some = data.draw(st.lists(st.sampled_from(["g", "h", None]), min_size=size, max_size=size))
    with temporary_machine(note) as machine:
        for groups in (["g"] * size, [None] * size, some, ["g"] * size):
            source = source_of([pipeline], groups, fails=True)
            run(machine, source, source_of([pipeline], groups, fails=False))


@pytest.mark.parametrize("groups", [("g", "g", "g"), (None, None, None), ("g", "g", None)], ids=str)
def test_a_step_that_sorts_its_input_in_place(groups: Collection[str | None]) -> None:
    functions = [
        "@step(outputs=['rows'], execution_group={})\ndef make():\n    return [1, 3, 2]\n",
        "@step(inputs=['rows'], outputs=['top'], execution_group={})\n"
        "def best(rows):\n    rows.sort(reverse=True)\n    return rows[0]\n",
        "@step(inputs=['rows', 'top'], outputs=['first'], execution_group={})\n"
        "def first(rows, top):\n    return rows[0]\n",
    ]
    with_groups = [f.format(repr(g)) for f, g in zip(functions, groups, strict=True)]
    source = "\n\n".join(["from flowyml_aws import step\n", *with_groups])
    with temporary_machine(print) as machine:
        assert machine.value(run(machine, source, source), "first") == 1
