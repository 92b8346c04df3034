"""Hypothesis strategies for steps that depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from flowyml_aws import ResourceRequirements, Step, step

GROUPS = [None, "g", "h"]


def a_step(name: str, reads: Sequence[str] = (), group: str | None = None, **more: Any) -> Step:
    """Return a step that produces one asset, named like the step."""
    return step(name=name, inputs=reads, outputs=[name], execution_group=group, **more)(
        lambda *values: None
    )


@st.composite
def steps_of_a_pipeline(
    draw: st.DrawFn,
    groups: Sequence[str | None] = GROUPS,
    names: st.SearchStrategy[list[str]] | None = None,
    most: int = 9,
) -> list[Step]:
    """Valid steps of a pipeline, in any order of declaration."""
    drawn = (
        draw(names) if names is not None else [f"s{i}" for i in range(draw(st.integers(1, most)))]
    )
    steps = []
    for position, name in enumerate(drawn):
        before = drawn[:position]
        reads = draw(st.sets(st.sampled_from(before), max_size=3)) if before else set()
        cpu = draw(st.sampled_from([None, "1", "2", "4"]))
        resources = None if cpu is None else ResourceRequirements(cpu=cpu)
        group = draw(st.sampled_from(groups))
        steps.append(a_step(name, sorted(reads), group, resources=resources))
    return draw(st.permutations(steps))
