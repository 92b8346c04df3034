"""The cache: written examples, then properties of generated pipelines.

The main property: a run with a cache has the values of a run without one, and executes no step
that it could take from the cache. `Oracle` decides which steps these are:

- Two executions of a step are *the same* if its code, the context values that it reads, the result
  of its cache function and each asset that it reads are the same. Assets are compared by content
  if the reader has the rule `input_hash`, if the run brings the asset as an input, or if its
  producer or a step upstream of it has the rule `input_hash` or `cache=False`. Otherwise they are
  compared by the executions that produced them.
- The *outcome* of an execution is the set of assets that its latest run stored, as long as their
  values exist. A skipped step has no outcome.
- An asset is *needed* if it is a result, if its producer has `cache=False`, or if a pending step
  reads it.
- A step is *pending* if one of its assets is needed and no outcome that can be found before the
  run contains it. Before the run, a content is known only if a step that is not pending has an
  outcome with it. Refreshed steps, and all steps downstream of them, are pending.
- A pending step is not executed if it is skipped. Nor is it executed if it compares an asset of
  another pending step by content, so that only its job can find its outcome, and that outcome
  contains all its assets.
- Every other pending step is executed, once. No other step is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, example, given, note
from hypothesis import strategies as st

from flowyml_aws.artifacts.values import encode_value
from tests.support.edited import (
    GIVEN,
    CompletedRun,
    Edit,
    Machine,
    Pipe,
    Program,
    Task,
    Wrapper,
    edited,
    edits,
    pipes,
    temporary_machine,
)
from tests.support.effort import examples

# `load`, then `scale`; then `plot`, and `train` with `publish`.
FORECAST = Program(
    '''\
from flowyml_aws import Pipeline, step

FACTOR = 2


def scaled(row):
    return row * FACTOR


@step(inputs=["numbers"], outputs=["rows"])
def load(numbers):
    return sorted(numbers)


@step(inputs=["rows"], outputs=["features"], resources={"cpu": 1})
def scale(rows):
    # Keep the order.
    return [scaled(row) for row in rows]


@step(inputs=["features"], outputs=["figure"])
def plot(features):
    """Draw a line for each feature."""
    return ["-" * feature for feature in features]


@step(inputs=["features"], outputs=["model"], cache="input_hash", execution_group="model")
def train(features, rate):
    return sum(features) * rate


def is_good(model):
    return model > 0


@step(inputs=["model"], outputs=["page"], cache=lambda day: day // 7, condition=is_good,
      execution_group="model")
def publish(model):
    return f"The model is {model}"
''',
    context={"rate": 3, "day": 15, "unread": 0},
    inputs={"numbers": [2, 1]},
)
# `greet` reads the asset of `clock`, which is never cached.
CLOCK = Program(
    """\
from flowyml_aws import Pipeline, step


@step(outputs=["hour"], cache=False)
def clock():
    return 9


@step(inputs=["hour"], outputs=["greeting"])
def greet(hour):
    return "Good morning" if hour < 12 else "Good evening"
"""
)
# The asset of `read` is not stored: only `count` reads it, in the same job.
GROUP = Program(
    """\
from flowyml_aws import Pipeline, step


@step(outputs=["words"], execution_group="words")
def read():
    return ["a", "b"]


@step(inputs=["words"], outputs=["number"], execution_group="words")
def count(words):
    return len(words)
"""
)


class Change(NamedTuple):
    """A change before a run.

    Attributes:
        old: Text of the source that is replaced.
        new: Its replacement.
        context: Changed context values.
        inputs: Changed inputs.
        value: Asset whose stored value is deleted.
        entry: Step whose cache entry of the first run is deleted.
        options: Arguments of `Machine.run`.
    """

    old: str = ""
    new: str = ""
    context: Mapping[str, Any] = {}
    inputs: Mapping[str, Any] = {}
    value: str | None = None
    entry: str | None = None
    options: Mapping[str, Any] = {}

    def of(self, program: Program) -> Program:
        source = program.source
        assert self.old in source
        return Program(
            source=source.replace(self.old, self.new) if self.old else source,
            context={**program.context, **self.context},
            inputs={**program.inputs, **self.inputs},
        )


def edit(old: str, new: str) -> Change:
    return Change(old, new)


def context(**values: Any) -> Change:
    return Change(context=values)


def numbers(*values: int) -> Change:
    return Change(inputs={"numbers": [*values]})


def lose(value: str | None = None, entry: str | None = None) -> Change:
    return Change(value=value, entry=entry)


def run(**options: Any) -> Change:
    return Change(options=options)


NO_CHANGE = Change()
NO_STEP = ""
ALL = "load scale plot train publish"
FACTOR_3, FACTOR_2 = edit("FACTOR = 2", "FACTOR = 3"), edit("FACTOR = 3", "FACTOR = 2")
LOST_AND_EDITED = Change('"-" *', '"=" *', value="features")
EVENING, MORNING = edit("return 9", "return 23"), edit("return 23", "return 9")

# The pipeline runs, then again after each change. The last run executes these steps and no others:
# it takes from the cache what it needs of them.
EXAMPLES = [
    ("no change", FORECAST, [NO_CHANGE], NO_STEP),
    ("a comment", FORECAST, [edit("Keep the order", "Do not sort")], NO_STEP),
    ("a docstring", FORECAST, [edit("Draw a line", "Draw one line")], NO_STEP),
    ("formatting", FORECAST, [edit("row * FACTOR", "(\n\n  row*FACTOR\n  )")], NO_STEP),
    ("resources", FORECAST, [edit('"cpu": 1', '"cpu": 0.5')], NO_STEP),
    ("a group's name", FORECAST, [edit('group="model"', 'group="other"')], NO_STEP),
    ("a group is dissolved", FORECAST, [edit(', execution_group="model"', "")], NO_STEP),
    ("the first step", FORECAST, [edit("sorted(numbers)", "numbers + [5]")], ALL),
    ("a last step", FORECAST, [edit('"-" *', '"=" *')], "plot"),
    ("a helper", FORECAST, [edit("row * FACTOR", "row + FACTOR")], "scale plot train publish"),
    ("a constant of a helper", FORECAST, [FACTOR_3], "scale plot train publish"),
    ("a constant, and back", FORECAST, [FACTOR_3, FACTOR_2], NO_STEP),
    ("a helper, same value", FORECAST, [edit("row * FACTOR", "FACTOR * row")], "scale plot"),
    ("an input_hash step, same value", FORECAST, [edit("features) *", "features) * 1 *")], "train"),
    ("a condition", FORECAST, [edit("model > 0", "model > 1")], "publish"),
    ("a condition that is false", FORECAST, [edit("model > 0", "model > 99")], NO_STEP),
    ("a cache rule", FORECAST, [edit("input_hash", "code_hash")], "train publish"),
    ("a cache function, same result", FORECAST, [context(day=16)], NO_STEP),
    ("a cache function, other result", FORECAST, [context(day=21)], "publish"),
    ("a context value of one step", FORECAST, [context(rate=4)], "train publish"),
    ("a context value of no step", FORECAST, [context(unread=1)], NO_STEP),
    ("an input", FORECAST, [numbers(2, 3)], ALL),
    ("an input, same value after load", FORECAST, [numbers(1, 2)], "load scale plot"),
    ("never cached, no change", CLOCK, [NO_CHANGE], "clock"),
    ("never cached, same value", CLOCK, [edit("9", "10 - 1")], "clock"),
    ("never cached, other value", CLOCK, [EVENING], "clock greet"),
    ("never cached, earlier value", CLOCK, [EVENING, MORNING], "clock"),
    ("a step whose input was not stored", GROUP, [edit("len(words)", "2")], "read count"),
    ("the value of a result is lost", FORECAST, [lose(value="figure")], "plot"),
    ("a value that no step needs is lost", FORECAST, [lose(value="rows")], NO_STEP),
    ("a value that an edited step needs is lost", FORECAST, [LOST_AND_EDITED], "scale plot"),
    ("the entry of a last step is lost", FORECAST, [lose(entry="plot")], "plot"),
    ("the entry of a step in between is lost", FORECAST, [lose(entry="scale")], "scale"),
    ("refresh", FORECAST, [run(refresh=["scale"])], "scale plot train publish"),
    ("cache=False", FORECAST, [run(cache=False)], ALL),
    ("after cache=False", FORECAST, [run(cache=False), NO_CHANGE], NO_STEP),
]


@pytest.mark.parametrize(
    ("program", "changes", "executed"),
    [pytest.param(*example[1:], id=example[0]) for example in EXAMPLES],
)
def test_a_run_executes_only_the_steps_that_a_change_affects(
    program: Program, changes: Sequence[Change], executed: str
) -> None:
    with temporary_machine(note=print) as machine:
        completed = machine.run(program)
        for change in changes:
            if change.value is not None:
                machine.delete_value(completed.refs[change.value].sha256, [change.value])
            if change.entry is not None:
                machine.delete_entries(change.entry, run=1)
            program = change.of(program)
            completed = machine.run(program, **change.options)
        assert {call.step for call in completed.calls} == set(executed.split())


class Round(NamedTuple):
    """A run of the property, and the changes before it.

    Attributes:
        restore: Return to the pipeline of the first run, before any edits.
        edits: Edits of the pipeline.
        value: Number of a stored value that is deleted, or None.
        entry: Number of a cache entry that is deleted, or None.
        refresh: Number of a step to refresh, or None.
        cache: The run's `cache=`.
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


# One failure, and no list of lines that only failing examples reach.
SHORT_REPORT: dict[str, Any] = {
    "report_multiple_bugs": False,
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
}
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


class Outcome(NamedTuple):
    """The assets that the latest run of an execution stored."""

    run: int
    step: str
    assets: Collection[str]


NO_OUTCOME = Outcome(0, "", ())


@dataclass
class Past:
    """The state that earlier runs left in the store.

    Attributes:
        outcomes: Outcomes by execution.
        values: Digest of each stored value → the assets that have it.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    values: dict[str, set[str]] = field(default_factory=dict)

    def add_value(self, asset: str, digest: str) -> None:
        self.values.setdefault(digest, set()).add(asset)


class Oracle:
    """Decides which steps a run executes, from the pipeline and the values of plain functions."""

    def __init__(self, pipe: Pipe, contents: Mapping[str, str], past: Past) -> None:
        self.pipe, self.contents, self.past = pipe, contents, past
        self.tasks = {task.name: task for task in pipe.tasks}
        self.producers = {asset: task for task in pipe.tasks for asset in task.assets}
        self._executions: dict[str, str | None] = {}

    def with_downstream(self, names: Collection[str]) -> set[str]:
        """Return the steps of these names, and all steps that depend on them."""
        found = set(names)
        for task in self.pipe.tasks:
            if any(a in self.producers and self.producers[a].name in found for a in task.reads):
                found.add(task.name)
        return found

    def read_by_content(self, reader: Task) -> list[str]:
        """Return the assets that the task reads and compares by their content."""
        by_content = [t.name for t in self.pipe.tasks if t.rule in ("input_hash", False)]
        downstream = self.with_downstream(by_content)
        return [
            asset
            for asset in reader.reads
            if reader.rule == "input_hash"
            or asset in GIVEN
            or self.producers[asset].name in downstream
        ]

    def execution(self, task: Task) -> str | None:
        """Return an identifier of the execution; None if an asset that it reads is skipped."""
        if task.name not in self._executions:
            self._executions[task.name] = self._execution(task)
        return self._executions[task.name]

    def _execution(self, task: Task) -> str | None:
        by_content = self.read_by_content(task)
        assets: list[tuple[str, str | None]] = []
        for asset in task.reads:
            known = self.contents.get(asset)
            if asset not in by_content:
                known = None if known is None else self.execution(self.producers[asset])
            if known is None:
                return None
            assets.append((asset, known))
        code = tuple(task._replace(rule=None, group=None, comments=0))
        helper = self.pipe.helpers[task.helper] if task.helper is not None else None
        values = [(name, self.pipe.values[name]) for name in task.context]
        facts = (code, helper, values, self.pipe.returned(task), assets)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def outcome(self, task: Task) -> Outcome | None:
        execution = self.execution(task)
        if execution is None or task.rule is False:
            return None
        return self.past.outcomes.get(execution)

    def pending(self, forced: Collection[str]) -> set[str]:
        """Return the steps that are not known to be in the cache before the run.

        Args:
            forced: Steps that cannot be taken from the cache.
        """
        pending: set[str] = set()
        while True:
            found = self._found_before_the_run(pending, forced)
            more = self._pending_without(found)
            if more == pending:
                return pending
            pending = more  # the contents of their assets are not known any more

    def _found_before_the_run(
        self, pending: Collection[str], forced: Collection[str]
    ) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        for task in self.pipe.tasks:
            contents = [a for a in self.read_by_content(task) if a in self.producers]
            known = all(
                self.producers[asset].name not in pending
                and asset in found.get(self.producers[asset].name, NO_OUTCOME).assets
                for asset in contents
            )
            outcome = self.outcome(task)
            if known and outcome is not None and task.name not in forced:
                found[task.name] = outcome
        return found

    def _pending_without(self, found: Mapping[str, Outcome]) -> set[str]:
        read = {asset for task in self.pipe.tasks for asset in task.reads}
        needed = [a for t in self.pipe.tasks for a in t.assets if a not in read or t.rule is False]
        pending: set[str] = set()
        while needed:
            asset = needed.pop()
            task = self.producers[asset]
            exists = asset in found.get(task.name, NO_OUTCOME).assets
            if task.name in pending or (exists and self.contents[asset] in self.past.values):
                continue
            pending.add(task.name)
            needed += [read for read in task.reads if read not in GIVEN]
        return pending

    def check(
        self, run: CompletedRun, pending: Collection[str], forced: Collection[str], number: int
    ) -> None:
        """Check in running order which steps were executed, and record their outcomes."""
        called = [call.step for call in run.calls]
        assert len(called) == len(set(called)), "a step was executed twice"
        missing, needless = set(pending) - set(run.order), set(called) - set(pending)
        assert not missing, f"the jobs do not contain {_names(missing)}, which must run"
        assert not needless, f"{_names(needless)} must come from the cache, but was executed"
        for task in (self.tasks[name] for name in run.order if name in pending):
            if any(asset not in self.contents for asset in task.assets):
                assert task.name not in called, f"{task.name} must be skipped, but was executed"
                continue
            if task.name not in forced and self._is_found_by_job(task, pending):
                assert task.name not in called, (
                    f"the job of {task.name} must find it in the cache, but executed it"
                )
                continue
            assert task.name in called, f"{task.name} must run, but was not executed"
            stored = run.stored[task.name]
            for asset in stored:
                self.past.add_value(asset, self.contents[asset])
            execution = self.execution(task)
            if stored and task.rule is not False and execution is not None:
                self.past.outcomes[execution] = Outcome(number, task.name, stored)

    def _is_found_by_job(self, task: Task, pending: Collection[str]) -> bool:
        by_content = [self.producers.get(asset) for asset in self.read_by_content(task)]
        outcome = self.outcome(task)
        return (
            any(producer is not None and producer.name in pending for producer in by_content)
            and outcome is not None
            and all(
                a in outcome.assets and self.contents[a] in self.past.values for a in task.assets
            )
        )


def _names(steps: Collection[str]) -> str:
    return ", ".join(sorted(steps))


def content(asset: str, value: Any) -> str:
    return encode_value(asset, value).sha256


def damage(machine: Machine, past: Past, change: Round) -> None:
    """Delete a stored value and a cache entry, if the round says so."""
    if change.value is not None and past.values:
        digest = sorted(past.values)[change.value % len(past.values)]
        machine.delete_value(digest, past.values.pop(digest))
    if change.entry is not None and past.outcomes:
        execution, outcome = sorted(past.outcomes.items())[change.entry % len(past.outcomes)]
        del past.outcomes[execution]
        machine.delete_entries(outcome.step, outcome.run)


def check_values(
    machine: Machine, pipe: Pipe, run: CompletedRun, direct: Mapping[str, Any]
) -> None:
    """Check that the run has the values of the plain functions, and that none is missing."""
    for asset in run.refs:
        value, expected = repr(machine.value(run, asset)), repr(direct.get(asset))
        assert value == expected, f"the run has {asset} = {value}, the functions give {expected}"
    called = {call.step for call in run.calls}
    read = {asset for task in pipe.tasks for asset in task.reads}
    for task in pipe.tasks:
        for asset in task.assets:
            if asset not in direct:
                assert asset not in run.refs, f"{asset} of a skipped step has a value"
                assert asset in run.skipped or asset in read, f"{asset} is not reported as skipped"
            elif asset not in read or (task.name in called and task.rule):
                assert asset in run.refs, f"{asset} is not stored"


# Drawn rarely: only the result of a cache function changes; each value is lost in turn, also two
# values at once, of which a reader by content needs one only if the other changes.
@example(
    first=Pipe((Task("step_0", rule="called"),)),
    others=[Round(edits=[Edit("context", 0, 2)])],
)
@example(
    first=Pipe((Task("step_0", rule=False), Task("step_1", inputs=("step_0_0",)))),
    others=[Round(value=number) for number in range(3)],
)
@example(
    first=Pipe(
        (
            Task("step_0", salt=2, coarse=True),
            Task("step_1", outputs=2, coarse=True),
            Task("step_2", inputs=("step_0_0", "step_1_0"), rule="input_hash"),
        )
    ),
    others=[Round(value=number) for number in range(3)],
)
@examples(60, **SHORT_REPORT)
@given(first=pipes(), others=st.lists(rounds, min_size=1, max_size=4))
def test_a_run_with_a_cache_has_the_same_values_and_executes_only_what_it_must(
    first: Pipe, others: list[Round]
) -> None:
    past, pipe = Past(), first
    with temporary_machine(note) as machine:
        for number, change in enumerate([Round(), *others], 1):
            damage(machine, past, change)
            pipe = change.pipe(first, pipe)
            program = pipe.program()
            direct = pipe.directly(program.steps)
            oracle = Oracle(pipe, {a: content(a, v) for a, v in direct.items()}, past)
            refresh = change.refreshed(pipe)
            names = {task.name for task in pipe.tasks}
            forced = oracle.with_downstream(refresh) if change.cache else names
            pending = oracle.pending(forced)
            run = machine.run(program, refresh, change.cache)
            for asset, value in pipe.inputs.items():
                past.add_value(asset, content(asset, value))
            check_values(machine, pipe, run, direct)
            oracle.check(run, pending, forced, number)


def varying(pipe: Pipe, variant: int, names: Collection[str]) -> Wrapper:
    """Return a wrapper that adds the variant to each value of these steps."""
    outputs = {task.name: task.outputs for task in pipe.tasks if task.name in names}

    def wrapper(name: str, returned: Any) -> Any:
        if name not in outputs:
            return returned
        if outputs[name] == 1:
            return [returned, variant]
        return [[value, variant] for value in returned]

    return wrapper


def never_cached(pipe: Pipe, name: str) -> Pipe:
    tasks = (t._replace(rule=False) if t.name == name else t for t in pipe.tasks)
    return replace(pipe, tasks=tuple(tasks))


@examples(30, **SHORT_REPORT)
@given(
    pipe=pipes(),
    others=st.lists(st.lists(edits(), max_size=2), min_size=1, max_size=4),
    where=st.integers(0, 6),
)
def test_all_values_fit_what_a_step_that_is_never_cached_returned_in_this_run(
    pipe: Pipe, others: list[list[Edit]], where: int
) -> None:
    name = f"step_{where % len(pipe.tasks)}"
    with temporary_machine(note) as machine:
        for number, changes in enumerate([[], *others]):
            pipe = never_cached(edited(pipe, changes), name)
            program = pipe.program()
            wrapper = varying(pipe, number // 2, [name])  # some variants come twice
            run = machine.run(program, wrapper=wrapper)
            check_values(machine, pipe, run, pipe.directly(program.steps, wrapper))


@examples(30, **SHORT_REPORT)
@given(first=pipes(), others=st.lists(rounds, min_size=1, max_size=4))
def test_each_reader_gets_the_value_that_the_run_recorded(first: Pipe, others: list[Round]) -> None:
    pipe = first
    with temporary_machine(note) as machine:
        for number, change in enumerate(others):
            pipe = change.pipe(first, pipe)
            tasks = {task.name: task for task in pipe.tasks}
            wrapper = varying(pipe, number, tasks)
            run = machine.run(pipe.program(), change.refreshed(pipe), change.cache, wrapper)
            recorded = {asset: repr(machine.value(run, asset)) for asset in run.refs}
            for call in run.calls:
                task = tasks[call.step]
                values = call.returned if task.outputs > 1 else [call.returned]
                known = {**call.arguments, **dict(zip(task.assets, values, strict=True))}
                for asset in known.keys() & recorded.keys():
                    assert repr(known[asset]) == recorded[asset], (
                        f"the run recorded {asset} = {recorded[asset]}, but this call had another "
                        f"value: {call}"
                    )
