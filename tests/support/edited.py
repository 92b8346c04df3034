"""Small pipelines as values, written out as Python text, and edits of them."""

from __future__ import annotations

import functools
import itertools
import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hypothesis import strategies as st

from flowyml_aws import Step, step

__all__ = ["EDITS", "Edit", "Helper", "Pipe", "Task", "edited", "edits", "pipes"]

GIVEN = ("given_0", "given_1")
CONTEXT = ("rate", "mode")
GROUPS = (None, "g", "h")
RULES = (None, None, "code_hash", "input_hash", "called", False)
HELPERS = 2

_PROLOGUE = """\
import hashlib


def digest(*facts):
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]
"""
_FALSY = '[None, 0, "", False, [], {}, 0.0]'


class Helper(NamedTuple):
    """A function that steps call, and a constant that it reads."""

    constant: int
    body: int


class Task(NamedTuple):
    """A step, as far as it can be edited.

    Attributes:
        salt: A number in its function.
        coarse: Its values are None or falsy, follow from half of the salt, and not from inputs.
        helper: The one that its function calls.
        takes: Context values that its function takes.
        asks: What its condition takes, assets or context values; without any, it has none.
        note: A comment in its function.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: int
    salt: int
    coarse: bool
    helper: int | None
    takes: tuple[str, ...]
    asks: tuple[str, ...]
    rule: str | bool | None
    group: str | None
    note: int

    @property
    def assets(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{number}" for number in range(self.outputs))

    @property
    def reads(self) -> tuple[str, ...]:
        """Assets that it or its condition takes."""
        named = (name for name in self.asks if name not in CONTEXT)
        return tuple(dict.fromkeys((*self.inputs, *named)))

    @property
    def context(self) -> tuple[str, ...]:
        """Context values that it or its condition takes."""
        return tuple(sorted({*self.takes, *(name for name in self.asks if name in CONTEXT)}))

    def text(self) -> str:
        """Its function, and its condition."""
        helped = f"helper_{self.helper}()" if self.helper is not None else "0"
        if self.coarse:
            made = f"{_FALSY}[({self.salt} // 2 + {helped} + number) % 7]"
        else:
            made = (
                f"digest(number, {', '.join([str(self.salt), helped, *self.inputs, *self.takes])})"
            )
        values = f"[{made} for number in range({self.outputs})]"
        lines = [
            f"def {self.name}({', '.join([*self.inputs, *self.takes])}):",
            *["    # a note"] * self.note,
            f"    return {values if self.outputs > 1 else f'{values}[0]'}",
        ]
        if self.asks:
            lines += [
                f"def {self.name}_condition({', '.join(self.asks)}):",
                f"    return digest({', '.join(self.asks)}) > '4'",
            ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Pipe:
    """A pipeline and what a run of it is given."""

    tasks: tuple[Task, ...]
    helpers: tuple[Helper, ...]
    given: tuple[int, ...]
    context: tuple[int, ...]

    @property
    def inputs(self) -> dict[str, int]:
        return dict(zip(GIVEN, self.given, strict=True))

    @property
    def values(self) -> dict[str, int]:
        """The context."""
        return dict(zip(CONTEXT, self.context, strict=True))

    def returned(self, task: Task) -> int | None:
        """What the task's cache function returns."""
        return self.values["rate"] // 2 if task.rule == "called" else None

    def text(self) -> str:
        """The module that it is written in."""
        parts = [_PROLOGUE]
        for number, helper in enumerate(self.helpers):
            parts.append(f"CONSTANT_{number} = {helper.constant}")
            parts.append(f"def helper_{number}():\n    return CONSTANT_{number} + {helper.body}")
        return "\n\n".join([*parts, *(task.text() for task in self.tasks)]) + "\n"

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The module's functions by name, made of its text."""
        name = "/project/edited.py"
        text = self.text()
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        made: dict[str, Any] = {"__name__": "edited", "__file__": name}
        exec(compile(text, name, "exec"), made)
        return made

    def steps(self, functions: Mapping[str, Callable[..., Any]]) -> list[Step]:
        return [
            step(
                name=task.name,
                inputs=task.inputs,
                outputs=task.assets,
                cache=(lambda rate: rate // 2) if task.rule == "called" else task.rule,
                condition=functions.get(f"{task.name}_condition"),
                execution_group=task.group,
            )(functions[task.name])
            for task in self.tasks
        ]

    def directly(self, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
        """Each asset as the plain functions make it; without those of steps that are skipped."""
        known: dict[str, Any] = dict(self.inputs)
        for task in self.tasks:
            if not known.keys() >= set(task.reads):
                continue
            names = {**known, **self.values}
            if task.asks:
                condition = functions[f"{task.name}_condition"]
                if not condition(**{name: names[name] for name in task.asks}):
                    continue
            arguments = {name: names[name] for name in (*task.inputs, *task.takes)}
            returned = functions[task.name](**arguments)
            values = returned if task.outputs > 1 else [returned]
            known.update(zip(task.assets, values, strict=True))
        return known


class Edit(NamedTuple):
    """One change of a pipeline: its kind, and numbers that say where and to what."""

    kind: str
    where: int
    to: int


Change = Callable[[Pipe, int, int], Pipe]


def _of_task(change: Callable[[Task, int], Task]) -> Change:
    def edit(pipe: Pipe, where: int, to: int) -> Pipe:
        tasks = list(pipe.tasks)
        tasks[where % len(tasks)] = change(tasks[where % len(tasks)], to)
        return replace(pipe, tasks=tuple(tasks))

    return edit


def _of_helper(field: str) -> Change:
    def edit(pipe: Pipe, where: int, to: int) -> Pipe:
        helpers = list(pipe.helpers)
        helpers[where % HELPERS] = helpers[where % HELPERS]._replace(**{field: to % 4})
        return replace(pipe, helpers=tuple(helpers))

    return edit


def _of_numbers(field: str) -> Change:
    def edit(pipe: Pipe, where: int, to: int) -> Pipe:
        numbers = list(getattr(pipe, field))
        numbers[where % len(numbers)] = to % 4
        return replace(pipe, **{field: tuple(numbers)})

    return edit


def _regrouped(pipe: Pipe, where: int, to: int) -> Pipe:
    """Every task in another group, or all in one."""
    groups = itertools.cycle(GROUPS[to % 3 :] + GROUPS[: to % 3])
    if where % 2:
        groups = itertools.cycle(GROUPS[to % 3 : to % 3 + 1])
    return replace(
        pipe,
        tasks=tuple(t._replace(group=g) for t, g in zip(pipe.tasks, groups, strict=False)),
    )


EDITS: Mapping[str, Change] = {
    "salt": _of_task(lambda task, to: task._replace(salt=to % 6)),
    "comment": _of_task(lambda task, to: task._replace(note=to % 3)),
    "group": _of_task(lambda task, to: task._replace(group=GROUPS[to % 3])),
    "rule": _of_task(lambda task, to: task._replace(rule=RULES[to % len(RULES)])),
    "groups": _regrouped,
    "constant": _of_helper("constant"),
    "helper": _of_helper("body"),
    "given": _of_numbers("given"),
    "context": _of_numbers("context"),
}


def edited(pipe: Pipe, changes: Sequence[Edit]) -> Pipe:
    """A pipeline after edits."""
    return functools.reduce(
        lambda at, edit: EDITS[edit.kind](at, edit.where, edit.to), changes, pipe
    )


def edits() -> st.SearchStrategy[Edit]:
    return st.builds(Edit, st.sampled_from([*EDITS]), st.integers(0, 6), st.integers(0, 5))


@st.composite
def pipes(draw: st.DrawFn) -> Pipe:
    """Pipelines of 2 to 7 steps; each reads of what stands before it."""
    tasks: list[Task] = []
    known = [*GIVEN]

    def some(names: Sequence[str], most: int) -> tuple[str, ...]:
        return tuple(draw(st.lists(st.sampled_from(names), max_size=most, unique=True)))

    for number in range(draw(st.integers(2, 7))):
        task = Task(
            name=f"step_{number}",
            inputs=some(known[-5:], 3),
            outputs=draw(st.integers(1, 3)),
            salt=draw(st.integers(0, 5)),
            coarse=draw(st.booleans()),
            helper=draw(st.sampled_from([None, *range(HELPERS)])),
            takes=some(CONTEXT, 1),
            asks=some([*CONTEXT, *known[-5:]], 2) if draw(st.integers(0, 2)) == 2 else (),
            rule=draw(st.sampled_from(RULES)),
            group=draw(st.sampled_from(GROUPS)),
            note=0,
        )
        tasks.append(task)
        known += task.assets
    numbers = st.integers(0, 3)
    return Pipe(
        tasks=tuple(tasks),
        helpers=tuple(Helper(draw(numbers), draw(numbers)) for _ in range(HELPERS)),
        given=tuple(draw(numbers) for _ in GIVEN),
        context=tuple(draw(numbers) for _ in CONTEXT),
    )
