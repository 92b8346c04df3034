"""A run with branches gives what `if` and `else` give in plain Python.

Groups, values from the cache, and edits of conditions change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hypothesis import given, note
from hypothesis import strategies as st

from flowyml_aws import Step
from tests.support.caching_machine import Machine, Program, temporary_machine
from tests.support.effort import examples

MISSING = 100


@dataclass(frozen=True)
class Leaf:
    """A step that adds a number to its inputs; those that may not exist have a default."""

    name: str
    inputs: Sequence[str]
    optional: bool
    group: str | None

    @property
    def source(self) -> str:
        default = f"={MISSING}" if self.optional else ""
        parameters = ", ".join(f"{name}{default}" for name in self.inputs)
        total = " + ".join([str(len(self.name)), *self.inputs])
        return (
            f"@step(inputs={list(self.inputs)}, execution_group={self.group!r})\n"
            f"def {self.name}({parameters}):\n    return {total}\n"
        )

    def add_to(self, values: dict[str, int]) -> None:
        if self.optional or all(name in values for name in self.inputs):
            read = [values.get(name, MISSING) for name in self.inputs]
            values[self.name] = len(self.name) + sum(read)


@dataclass(frozen=True)
class Fork:
    """An `If` on whether an asset is odd, with a list of steps for each case."""

    asset: str
    is_view: bool
    branches: tuple[Sequence[Leaf], Sequence[Leaf]]

    def source(self, odd: int) -> str:
        read, parameter = (f"ctx[{self.asset!r}]", "ctx") if self.is_view else [self.asset] * 2
        then, other = (f"[{', '.join(leaf.name for leaf in part)}]" for part in self.branches)
        condition = f"lambda {parameter}: {read} % 2 == {odd}"
        return (
            f"If({condition}, {then}, {other})" if self.branches[1] else f"If({condition}, {then})"
        )


@dataclass(frozen=True)
class Branched(Program):
    """A program whose steps are those of its variable `pipeline`."""

    @cached_property
    def _steps(self) -> Sequence[Step]:
        names: dict[str, object] = {"__name__": "edited", "__file__": "/project/edited.py"}
        exec(compile(self.source, "/project/edited.py", "exec"), names)
        return names["pipeline"].all_steps  # type: ignore[attr-defined]


def program(parts: Sequence[Leaf | Fork], odd: int) -> Branched:
    leaves = [part for part in parts if isinstance(part, Leaf)]
    leaves += [
        leaf for p in parts if isinstance(p, Fork) for branch in p.branches for leaf in branch
    ]
    lines = ["from flowyml_aws import If, Pipeline, step\n", *(leaf.source for leaf in leaves)]
    lines.append("pipeline = Pipeline('branched')")
    for part in parts:
        added = (
            f"step({part.name})" if isinstance(part, Leaf) else f"control_flow({part.source(odd)})"
        )
        lines.append(f"pipeline.add_{added}")
    return Branched("\n".join(lines) + "\n")


def plain_values(parts: Sequence[Leaf | Fork], odd: int) -> Mapping[str, int]:
    values: dict[str, int] = {}
    for part in parts:
        if isinstance(part, Leaf):
            part.add_to(values)
        elif part.asset in values:
            for leaf in part.branches[0 if values[part.asset] % 2 == odd else 1]:
                leaf.add_to(values)
    return values


@st.composite
def pipelines(draw: st.DrawFn) -> list[Leaf | Fork]:
    names: list[str] = []

    def leaf() -> Leaf:
        inputs = draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if names else []
        name = f"s{'x' * draw(st.integers(0, 1))}{len(names)}"
        names.append(name)
        group = draw(st.sampled_from(["g", None]))
        return Leaf(name, sorted(inputs), draw(st.booleans()), group)

    parts: list[Leaf | Fork] = [leaf()]
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            parts.append(leaf())
            continue
        asset, is_view = draw(st.sampled_from(names)), draw(st.booleans())
        then = [leaf() for _ in range(draw(st.integers(1, 2)))]
        other = [leaf() for _ in range(draw(st.integers(0, 1)))]
        parts.append(Fork(asset, is_view, (then, other)))
    return parts


def check_run(machine: Machine, parts: Sequence[Leaf | Fork], odd: int) -> Sequence[str]:
    """Run a program, compare it with plain Python, and return the steps that were executed."""
    expected = plain_values(parts, odd)
    completed = machine.run(program(parts, odd))
    decided = {name for name in completed.refs if name.startswith("if:")}
    stored = {asset: machine.value(completed, asset) for asset in completed.refs.keys() - decided}
    assert stored == {asset: expected[asset] for asset in stored}
    called = [call.step for call in completed.calls if not call.step.startswith("if:")]
    assert set(called) <= expected.keys()
    return called


@examples(25)
@given(parts=pipelines(), data=st.data())
def test_a_run_with_branches_gives_what_plain_python_gives(
    parts: list[Leaf | Fork], data: st.DataObject
) -> None:
    with temporary_machine(note) as machine:
        executed = check_run(machine, parts, 0)
        assert sorted(executed) == sorted(plain_values(parts, 0))
        assert check_run(machine, parts, 0) == []
        check_run(machine, parts, data.draw(st.sampled_from([0, 1])))
        check_run(machine, parts, 0)
