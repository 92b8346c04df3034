"""Generated pipelines, and the changes between their runs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hypothesis import strategies as st

from flowyml_aws import Step
from tests.support.caching_machine import Program, Wrapper, unchanged

__all__ = [
    "EXTERNAL_INPUTS",
    "Edit",
    "Helper",
    "Pipe",
    "Round",
    "Task",
    "edited",
    "edits",
    "pipes",
    "rounds",
]

EXTERNAL_INPUTS = ("input_0", "input_1")
CONTEXT = ("rate", "mode")
GROUPS = (None, "g", "h")
RULES = (None, None, "code_hash", "input_hash", "called", False)
HELPERS = 2

_PROLOGUE = """\
import hashlib

from flowyml_aws import Pipeline, step


def digest(*facts):
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]
"""
_FALSY = '[None, 0, "", False, [], {}, 0.0]'


class Helper(NamedTuple):
    """A function that steps call, and a constant that it reads."""

    constant: int = 0
    body: int = 0


class Task(NamedTuple):
    """A step, by its properties that can be edited.

    Attributes:
        inputs: Assets that the function takes.
        outputs: Number of assets that the step produces.
        salt: Number in the function.
        coarse: Whether the values are falsy, and depend on half of the salt but not on inputs.
        helper: Number of the helper that the function calls.
        takes: Context values that the function takes.
        asks: Assets and context values that the condition takes; without any, there is none.
        rule: Argument `cache=`; "called" is a cache function, None is the default.
        group: Execution group.
        comments: Number of comments in the function.
    """

    name: str
    inputs: tuple[str, ...] = ()
    outputs: int = 1
    salt: int = 0
    coarse: bool = False
    helper: int | None = None
    takes: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    rule: str | bool | None = None
    group: str | None = None
    comments: int = 0

    def __repr__(self) -> str:
        """Leave out defaults, so that the falsifying example is short."""
        changed = {
            name: value
            for name, value in self._asdict().items()
            if name != "name" and value != self._field_defaults[name]
        }
        return f"Task({', '.join([repr(self.name), *(f'{n}={v!r}' for n, v in changed.items())])})"

    @property
    def assets(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{number}" for number in range(self.outputs))

    @property
    def reads(self) -> tuple[str, ...]:
        """Assets that the function or the condition takes."""
        named = (name for name in self.asks if name not in CONTEXT)
        return tuple(dict.fromkeys((*self.inputs, *named)))

    @property
    def context(self) -> tuple[str, ...]:
        """Context values that the function or the condition takes."""
        return tuple(sorted({*self.takes, *(name for name in self.asks if name in CONTEXT)}))

    def source(self) -> str:
        """Return the source code of the condition, the decorator and the function."""
        arguments = [f"outputs={[*self.assets]}"]
        if self.inputs:
            arguments.insert(0, f"inputs={[*self.inputs]}")
        if self.rule is not None:
            rule = "lambda rate: rate // 2" if self.rule == "called" else repr(self.rule)
            arguments.append(f"cache={rule}")
        if self.group is not None:
            arguments.append(f"execution_group={self.group!r}")
        lines = []
        if self.asks:
            names = ", ".join(self.asks)
            lines = [
                f"def {self.name}_condition({names}):",
                f"    return digest({names}) > '4'",
                "\n",
            ]
            arguments.append(f"condition={self.name}_condition")
        lines += [
            f"@step({', '.join(arguments)})",
            f"def {self.name}({', '.join([*self.inputs, *self.takes])}):",
            *["    # A comment."] * self.comments,
            f"    return {self._returned()}",
        ]
        return "\n".join(lines) + "\n"

    def _returned(self) -> str:
        """Return the expression that the function returns."""
        terms = [] if self.helper is None else [f"helper_{self.helper}()"]
        if self.outputs > 1:
            terms.append("number")
        if self.coarse:
            value = f"{_FALSY}[({' + '.join([f'{self.salt} // 2', *terms])}) % 7]"
        else:
            value = f"digest({', '.join([str(self.salt), *terms, *self.inputs, *self.takes])})"
        return value if self.outputs == 1 else f"[{value} for number in range({self.outputs})]"


@dataclass(frozen=True)
class Pipe:
    """A pipeline as a value that can be edited, with the context and the inputs of a run."""

    tasks: tuple[Task, ...]
    helpers: tuple[Helper, ...] = (Helper(),) * HELPERS
    external_inputs: tuple[int, ...] = (0,) * len(EXTERNAL_INPUTS)
    context: tuple[int, ...] = (0,) * len(CONTEXT)

    @property
    def inputs(self) -> dict[str, int]:
        return dict(zip(EXTERNAL_INPUTS, self.external_inputs, strict=True))

    @property
    def values(self) -> dict[str, int]:
        """Context values by name."""
        return dict(zip(CONTEXT, self.context, strict=True))

    def returned(self, task: Task) -> int | None:
        """Return the result of the task's cache function."""
        return self.values["rate"] // 2 if task.rule == "called" else None

    def program(self) -> Program:
        parts = [_PROLOGUE]
        for number, helper in enumerate(self.helpers):
            parts.append(
                f"CONSTANT_{number} = {helper.constant}\n\n\n"
                f"def helper_{number}():\n    return CONSTANT_{number} + {helper.body}\n"
            )
        parts += [task.source() for task in self.tasks]
        return Program("\n\n".join(parts), self.values, self.inputs)

    def directly(self, steps: Sequence[Step], wrapper: Wrapper = unchanged) -> dict[str, Any]:
        """Return the assets that the plain functions produce, without those of skipped steps."""
        known: dict[str, Any] = dict(self.inputs)
        for task, step in zip(self.tasks, steps, strict=True):
            if not known.keys() >= set(task.reads):
                continue
            names = {**known, **self.values}
            condition_arguments = {name: names[name] for name in task.asks}
            if step.condition is not None and not step.condition(**condition_arguments):
                continue
            arguments = {name: names[name] for name in (*task.inputs, *task.takes)}
            returned = wrapper(task.name, step.func(**arguments))
            values = returned if task.outputs > 1 else [returned]
            known.update(zip(task.assets, values, strict=True))
        return known


class Edit(NamedTuple):
    """A change of a pipeline: its kind, and numbers that select the position and new value."""

    kind: str
    where: int
    to: int


Change = Callable[[Pipe, int, int], Pipe]


def _task_change(change: Callable[[Task, int], Task]) -> Change:
    def edit(pipe: Pipe, where: int, to: int) -> Pipe:
        tasks = list(pipe.tasks)
        tasks[where % len(tasks)] = change(tasks[where % len(tasks)], to)
        return replace(pipe, tasks=tuple(tasks))

    return edit


def _helper_change(field: str) -> Change:
    def edit(pipe: Pipe, where: int, to: int) -> Pipe:
        helpers = list(pipe.helpers)
        helpers[where % HELPERS] = helpers[where % HELPERS]._replace(**{field: to % 4})
        return replace(pipe, helpers=tuple(helpers))

    return edit


def _number_change(field: str) -> Change:
    def edit(pipe: Pipe, where: int, to: int) -> Pipe:
        numbers = list(getattr(pipe, field))
        numbers[where % len(numbers)] = to % 4
        return replace(pipe, **{field: tuple(numbers)})

    return edit


def _regroup(pipe: Pipe, where: int, to: int) -> Pipe:
    """Move every task to another group, or all to one."""
    groups = itertools.cycle(GROUPS[to % 3 :] + GROUPS[: to % 3])
    if where % 2:
        groups = itertools.cycle(GROUPS[to % 3 : to % 3 + 1])
    return replace(
        pipe,
        tasks=tuple(t._replace(group=g) for t, g in zip(pipe.tasks, groups, strict=False)),
    )


EDITS: Mapping[str, Change] = {
    "salt": _task_change(lambda task, to: task._replace(salt=to % 6)),
    "comment": _task_change(lambda task, to: task._replace(comments=to % 3)),
    "group": _task_change(lambda task, to: task._replace(group=GROUPS[to % 3])),
    "rule": _task_change(lambda task, to: task._replace(rule=RULES[to % len(RULES)])),
    "groups": _regroup,
    "constant": _helper_change("constant"),
    "helper": _helper_change("body"),
    "external_input": _number_change("external_inputs"),
    "context": _number_change("context"),
}


def edited(pipe: Pipe, changes: Sequence[Edit]) -> Pipe:
    """Return the pipeline after the edits."""
    return functools.reduce(
        lambda current, edit: EDITS[edit.kind](current, edit.where, edit.to), changes, pipe
    )


def edits() -> st.SearchStrategy[Edit]:
    return st.builds(
        Edit, kind=st.sampled_from([*EDITS]), where=st.integers(0, 6), to=st.integers(0, 5)
    )


@st.composite
def _tasks(draw: st.DrawFn, name: str, known: Sequence[str]) -> Task:
    """Draw a step that reads some of the latest known assets."""

    def some(names: Sequence[str], most: int) -> tuple[str, ...]:
        return tuple(draw(st.lists(st.sampled_from(names), max_size=most, unique=True)))

    return Task(
        name=name,
        inputs=some(known[-5:], 3),
        outputs=draw(st.integers(1, 3)),
        salt=draw(st.integers(0, 5)),
        coarse=draw(st.booleans()),
        helper=draw(st.sampled_from([None, *range(HELPERS)])),
        takes=some(CONTEXT, 1),
        asks=some([*CONTEXT, *known[-5:]], 2) if draw(st.integers(0, 2)) == 2 else (),
        rule=draw(st.sampled_from(RULES)),
        group=draw(st.sampled_from(GROUPS)),
    )


@st.composite
def pipes(draw: st.DrawFn) -> Pipe:
    """Draw a pipeline of 2 to 7 steps; each reads assets of the steps before it."""
    numbers = st.integers(0, 3)
    helpers = tuple(Helper(draw(numbers), draw(numbers)) for _ in range(HELPERS))
    external_inputs = tuple(draw(numbers) for _ in EXTERNAL_INPUTS)
    context = tuple(draw(numbers) for _ in CONTEXT)
    tasks: list[Task] = []
    known = [*EXTERNAL_INPUTS]
    for number in range(draw(st.integers(2, 7))):
        task = draw(_tasks(f"step_{number}", known))
        tasks.append(task)
        known += task.assets
    return Pipe(tuple(tasks), helpers, external_inputs, context)


class Round(NamedTuple):
    """A run of the property, and the changes before it.

    Attributes:
        restore: Whether to return to the pipeline of the first run before the edits.
        edits: Edits of the pipeline.
        value: Number of a stored value that is deleted, or None.
        entry: Number of a cache entry that is deleted, or None.
        refresh: Number of a step to refresh, or None.
        cache: Argument `cache=` of the run.
    """

    restore: bool = False
    edits: Sequence[Edit] = ()
    value: int | None = None
    entry: int | None = None
    refresh: int | None = None
    cache: bool = True

    def pipe(self, first: Pipe, previous: Pipe) -> Pipe:
        return edited(first if self.restore else previous, self.edits)

    def refreshed(self, pipe: Pipe) -> list[str]:
        if self.refresh is None:
            return []
        return [pipe.tasks[self.refresh % len(pipe.tasks)].name]


rarely = st.none() | st.none() | st.none() | st.integers(0, 20)
rounds = st.builds(
    Round,
    restore=st.sampled_from([False, False, False, True]),
    edits=st.lists(edits(), max_size=2),
    value=rarely,
    entry=rarely,
    refresh=rarely,
    cache=st.sampled_from([True] * 9 + [False]),
)
