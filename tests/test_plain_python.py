"""A run gives what calling the steps in order gives, each step with its own copy of its inputs.

Grouping, retries, and values from the cache change nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.support.caching_machine import CompletedRun, Machine, Program, temporary_machine

CONTEXT = {"shared": {"rows": [7, 5]}}

CHANGES = (
    "{0}['rows'].append({1})",
    "{0}['rows'].sort()",
    "{0}['rows'].clear()",
    "{0}['new'] = [{1}]",
    "{0}.setdefault('new', []).append({1})",
    "pass  # {0} stays as it is",
)
ONE_OUTPUT = (
    "return {0}",
    "return {{'rows': {0}['rows'], 'same': {0}}}",
    "return {{'rows': [*{0}['rows'], {1}]}}",
    "return {{'rows': [{1}, 3], 'more': {{'rows': {0}.get('new', {0}['rows'])}}}}",
)
TWO_OUTPUTS = (
    "return {0}, {0}",
    "return {0}, {{'rows': {0}['rows']}}",
    "return {{'rows': {0}['rows']}}, {{'rows': list({0}['rows'])}}",
)


class Retried(Exception):
    pass


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Draw the functions of steps, with `{group}` for an execution group, and their failures."""
    sources, failures = [], []
    assets: list[str] = []
    for number in range(draw(st.integers(2, 6))):
        inputs = draw(st.lists(st.sampled_from(assets), max_size=2, unique=True)) if assets else []
        two = draw(st.booleans())
        outputs = [f"a{number}", f"b{number}"] if two else [f"a{number}"]
        retry = draw(st.sampled_from((0, 0, 1, 2)))
        options = [f"inputs={inputs}", f"outputs={outputs}", f"retry={retry}", "retry_delay=0"]
        if draw(st.booleans()):
            options.append("cache='input_hash'")
        condition = ""
        if inputs and draw(st.integers(0, 3)) == 0:
            taken = inputs[0]
            change = draw(st.sampled_from(CHANGES)).format(taken, number)
            condition = (
                f"def holds{number}({taken}):\n    answer = len({taken}['rows']) != 1\n"
                f"    {change}\n    return answer\n\n\n"
            )
            options.append(f"condition=holds{number}")
        parameters = [*inputs, "shared"] if draw(st.booleans()) or not inputs else inputs
        body = [
            draw(st.sampled_from(CHANGES)).format(draw(st.sampled_from(parameters)), number)
            for _ in range(draw(st.integers(0, 2)))
        ]
        returned = draw(st.sampled_from(TWO_OUTPUTS if two else ONE_OUTPUT))
        body.append(returned.format(draw(st.sampled_from(parameters)), number))
        sources.append(
            f"{condition}@step({', '.join(options)}, execution_group={{group}})\n"
            f"def s{number}({', '.join(parameters)}):\n    " + "\n    ".join(body) + "\n"
        )
        failures.append(draw(st.integers(0, retry)))
        assets += outputs
    return sources, failures


def program(sources: Collection[str], groups: Collection[str | None]) -> Program:
    functions = [
        source.replace("{group}", repr(group))
        for source, group in zip(sources, groups, strict=True)
    ]
    return Program("\n\n".join(["from flowyml_aws import step\n", *functions]), CONTEXT)


def plain(called: Program) -> Mapping[str, Any]:
    """Return the assets that plain calls give; those of skipped steps are missing."""
    values: dict[str, Any] = {}
    for step in called.steps:
        if not set(step.inputs) <= values.keys():
            continue
        sources = {**values, **CONTEXT}

        def arguments(function: Any, sources: Mapping[str, Any] = sources) -> Mapping[str, Any]:
            code = function.__code__
            names = code.co_varnames[: code.co_argcount]
            return {name: copy.deepcopy(sources[name]) for name in names}

        if step.condition is not None and not step.condition(**arguments(step.condition)):
            continue
        returned = step.func(**arguments(step.func))
        # Each asset is a value of its own.
        values |= {a: copy.deepcopy(v) for a, v in step.split_outputs(returned).items()}
    return values


def run(machine: Machine, started: Program, failures: Mapping[str, int]) -> CompletedRun:
    """Run a program; the first attempts of some steps fail after their function returned."""
    remaining = dict(failures)
    returned: dict[str, Any] = {}

    def wrapper(step: str, value: Any) -> Any:
        if remaining[step]:
            remaining[step] -= 1
            raise Retried
        returned[step] = copy.deepcopy(value)
        return value

    completed = machine.run(started, wrapper=wrapper)
    expected = plain(started)
    for step in started.steps:
        if step.name in returned:
            assert step.split_outputs(returned[step.name]) == {a: expected[a] for a in step.assets}
    assert {a: machine.value(completed, a) for a in completed.refs} == {
        a: expected[a] for a in completed.refs
    }
    assert set(completed.skipped).isdisjoint(expected)
    return completed


@given(drawn=programs(), data=st.data())
def test_a_run_gives_what_plain_calls_on_copies_give(
    drawn: tuple[list[str], list[int]], data: st.DataObject
) -> None:
    sources, failures = drawn
    fails = {f"s{number}": count for number, count in enumerate(failures)}
    size = len(sources)
    some = data.draw(st.lists(st.sampled_from(["g", "h", None]), min_size=size, max_size=size))
    with temporary_machine(note) as machine:
        for groups in (["g"] * size, [None] * size, some, ["g"] * size):
            run(machine, program(sources, groups), fails)


@pytest.mark.parametrize("groups", [("g", "g", "g"), (None, None, None), ("g", "g", None)], ids=str)
def test_a_step_that_sorts_its_input_in_place(groups: tuple[str | None, ...]) -> None:
    sources = [
        "@step(outputs=['rows'], execution_group={group})\ndef make():\n    return [1, 3, 2]\n",
        "@step(inputs=['rows'], outputs=['top'], execution_group={group})\n"
        "def best(rows):\n    rows.sort(reverse=True)\n    return rows[0]\n",
        "@step(inputs=['rows', 'top'], outputs=['first'], execution_group={group})\n"
        "def first(rows, top):\n    return rows[0]\n",
    ]
    with temporary_machine(print) as machine:
        completed = run(
            machine, program(sources, groups), dict.fromkeys(["make", "best", "first"], 0)
        )
        assert machine.value(completed, "first") == 1
