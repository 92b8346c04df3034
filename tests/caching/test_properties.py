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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, example, given, note
from hypothesis import strategies as st

from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.values import encode_value
from tests.support.caching_machine import Machine, Program, Wrapper, temporary_machine
from tests.support.caching_oracle import Oracle, Past, check_values
from tests.support.edited import Edit, Pipe, Round, Task, edited, edits, pipes, rounds
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
# The closure of `read` contains a value whose content is unknown.
UNKNOWN = Program(
    """\
from flowyml_aws import Pipeline, step


def reading(rows):
    @step(name="read", outputs=["number"])
    def read():
        return 1 if rows else 0

    return read


read = reading(row for row in [1])


@step(inputs=["number"], outputs=["twice"])
def double(number):
    return number * 2
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
    ("an unknown value, no change", UNKNOWN, [NO_CHANGE], "read"),
    ("an unknown value, same value", UNKNOWN, [edit("1 if", "2 - 1 if")], "read"),
    ("an unknown value, other value", UNKNOWN, [edit("1 if", "2 if")], "read double"),
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


@pytest.mark.version_sensitive
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
                machine.delete_object(completed.refs[change.value].key, [change.value])
            if change.entry is not None:
                machine.delete_entries(change.entry, run=1)
            program = change.of(program)
            completed = machine.run(program, **change.options)
        assert {call.step for call in completed.calls} == set(executed.split())


# One failure, and no list of lines that only failing examples reach.
SHORT_REPORT: dict[str, Any] = {
    "report_multiple_bugs": False,
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
}


def content(asset: str, value: Any) -> str:
    return encode_value(asset, value).sha256


def damage(machine: Machine, past: Past, change: Round) -> None:
    """Delete a stored value and a cache entry, if the round says so."""
    if change.value is not None and past.objects:
        key = sorted(past.objects)[change.value % len(past.objects)]
        machine.delete_object(key, past.objects.pop(key))
    if change.entry is not None and past.outcomes:
        execution, outcome = sorted(past.outcomes.items())[change.entry % len(past.outcomes)]
        del past.outcomes[execution]
        machine.delete_entries(outcome.step, outcome.run)


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
                past.add_object(asset, artifact_key(content(asset, value)))
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
