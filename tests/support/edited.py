"""Generated pipelines, edits of them, and a machine that runs their source code in this process."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import itertools
import json
import linecache
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from flowyml_aws import Step
from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.project import Project
from flowyml_aws.places import LocalPlace
from flowyml_aws.planning.placement import LOCAL, Placement
from flowyml_aws.preview import plan_at
from flowyml_aws.request import RunRequest
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.result import JobResult, StepState
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.submission.package import RunPackage, job_specs

__all__ = [
    "GIVEN",
    "Call",
    "CompletedRun",
    "Edit",
    "Helper",
    "Machine",
    "Pipe",
    "Program",
    "Task",
    "Wrapper",
    "edited",
    "edits",
    "pipes",
    "temporary_machine",
]

Wrapper = Callable[[str, Any], Any]
"""Takes a step's name and what its function returned; returns the step's result."""

GIVEN = ("given_0", "given_1")
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
_PATH = "/project/edited.py"
_FALSY = '[None, 0, "", False, [], {}, 0.0]'


def _unchanged(step: str, returned: Any) -> Any:
    return returned


@dataclass(frozen=True)
class Program:
    """A pipeline as source code, with the context and the inputs of a run.

    Attributes:
        source: A module that defines the steps.
    """

    source: str
    context: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> Sequence[Step]:
        """The steps of the module, in the order of their definition."""
        # All programs share a path: their source must be the current one when it is read there.
        lines = self.source.splitlines(keepends=True)
        linecache.cache[_PATH] = (len(self.source), None, lines, _PATH)
        return self._steps

    @cached_property
    def _steps(self) -> Sequence[Step]:
        names: dict[str, Any] = {"__name__": "edited", "__file__": _PATH}
        exec(compile(self.source, _PATH, "exec"), names)
        return [value for value in names.values() if isinstance(value, Step)]

    def text(self, **options: Any) -> str:
        """Return the source, with the lines that run the pipeline."""
        arguments = {"context": dict(self.context), "inputs": dict(self.inputs), **options}
        steps = ", ".join(step.name for step in self.steps)
        return (
            f'{self.source}\n\npipeline = Pipeline("edited").add_steps([{steps}])\n'
            f"pipeline.run({', '.join(f'{name}={value!r}' for name, value in arguments.items())})\n"
        )


class Helper(NamedTuple):
    """A function that steps call, and a constant that it reads."""

    constant: int = 0
    body: int = 0


class Task(NamedTuple):
    """The properties of a step that can be edited.

    Attributes:
        inputs: Assets that its function takes.
        outputs: Number of assets that it produces.
        salt: A number in its function.
        coarse: Its values are None or falsy, depend on half of the salt, and not on its inputs.
        helper: Number of the helper that its function calls.
        takes: Context values that its function takes.
        asks: Assets and context values that its condition takes. Empty: it has no condition.
        rule: Its `cache=`; "called" is a cache function, None is the default.
        group: Its execution group.
        comments: Number of comments in its function.
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
        """Assets that its function or its condition takes."""
        named = (name for name in self.asks if name not in CONTEXT)
        return tuple(dict.fromkeys((*self.inputs, *named)))

    @property
    def context(self) -> tuple[str, ...]:
        """Context values that its function or its condition takes."""
        return tuple(sorted({*self.takes, *(name for name in self.asks if name in CONTEXT)}))

    def source(self) -> str:
        """Return the definition of its condition, its decorator and its function."""
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
        """Return the expression that its function returns."""
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
    given: tuple[int, ...] = (0,) * len(GIVEN)
    context: tuple[int, ...] = (0,) * len(CONTEXT)

    @property
    def inputs(self) -> dict[str, int]:
        return dict(zip(GIVEN, self.given, strict=True))

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

    def directly(self, steps: Sequence[Step], wrapper: Wrapper = _unchanged) -> dict[str, Any]:
        """Return each asset as the plain functions return it, without those of skipped steps."""
        known: dict[str, Any] = dict(self.inputs)
        for task, step in zip(self.tasks, steps, strict=True):
            if not known.keys() >= set(task.reads):
                continue
            names = {**known, **self.values}
            asked = {name: names[name] for name in task.asks}
            if step.condition is not None and not step.condition(**asked):
                continue
            arguments = {name: names[name] for name in (*task.inputs, *task.takes)}
            returned = wrapper(task.name, step.func(**arguments))
            values = returned if task.outputs > 1 else [returned]
            known.update(zip(task.assets, values, strict=True))
        return known


class Edit(NamedTuple):
    """One change of a pipeline: its kind, and numbers that select the place and the new value."""

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
    """Move every task to another group, or all to one."""
    groups = itertools.cycle(GROUPS[to % 3 :] + GROUPS[: to % 3])
    if where % 2:
        groups = itertools.cycle(GROUPS[to % 3 : to % 3 + 1])
    return replace(
        pipe,
        tasks=tuple(t._replace(group=g) for t, g in zip(pipe.tasks, groups, strict=False)),
    )


EDITS: Mapping[str, Change] = {
    "salt": _of_task(lambda task, to: task._replace(salt=to % 6)),
    "comment": _of_task(lambda task, to: task._replace(comments=to % 3)),
    "group": _of_task(lambda task, to: task._replace(group=GROUPS[to % 3])),
    "rule": _of_task(lambda task, to: task._replace(rule=RULES[to % len(RULES)])),
    "groups": _regrouped,
    "constant": _of_helper("constant"),
    "helper": _of_helper("body"),
    "given": _of_numbers("given"),
    "context": _of_numbers("context"),
}


def edited(pipe: Pipe, changes: Sequence[Edit]) -> Pipe:
    """Return the pipeline after the edits."""
    return functools.reduce(
        lambda at, edit: EDITS[edit.kind](at, edit.where, edit.to), changes, pipe
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
    given = tuple(draw(numbers) for _ in GIVEN)
    context = tuple(draw(numbers) for _ in CONTEXT)
    tasks: list[Task] = []
    known = [*GIVEN]
    for number in range(draw(st.integers(2, 7))):
        task = draw(_tasks(f"step_{number}", known))
        tasks.append(task)
        known += task.assets
    return Pipe(tuple(tasks), helpers, given, context)


class Call(NamedTuple):
    """A call of a step's function in a run."""

    step: str
    arguments: Mapping[str, Any]
    returned: Any

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.step}({arguments}) -> {self.returned!r}"


@dataclass(frozen=True)
class CompletedRun:
    """The record of a run.

    Attributes:
        order: The steps of its jobs, in running order.
        calls: Calls of functions of steps.
        stored: For each step that its job executed or found in the cache, the stored assets.
        refs: Every asset of the run, its own or from an earlier run.
        skipped: Assets of skipped steps.
    """

    order: Sequence[str]
    calls: Sequence[Call]
    stored: Mapping[str, Collection[str]]
    refs: Mapping[str, ArtifactRef]
    skipped: Collection[str]


class StartedRun(NamedTuple):
    """A run in the history of a machine.

    Attributes:
        damage: Objects that were deleted from the store before the run.
        options: Arguments of `Pipeline.run`.
        is_wrapped: Whether the test changes what the functions return.
        calls: Calls of functions of steps, so far.
    """

    program: Program
    damage: Sequence[str]
    options: Mapping[str, Any]
    is_wrapped: bool
    calls: list[Call]

    @property
    def text(self) -> str:
        return self.program.text(**self.options)


@dataclass
class Machine:
    """Runs programs in this process, on one store."""

    folder: Path
    history: list[StartedRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = DirectoryArtifactStore(self.folder / "store")
        self._damage: list[str] = []

    def run(
        self,
        program: Program,
        refresh: Collection[str] = (),
        cache: bool = True,
        wrapper: Wrapper = _unchanged,
    ) -> CompletedRun:
        """Run a program as `launch` does; `wrapper` may change what functions return."""
        calls: list[Call] = []
        options = {
            **({"refresh": refresh} if refresh else {}),
            **({} if cache else {"cache": False}),
        }
        is_wrapped = wrapper is not _unchanged
        self.history.append(StartedRun(program, self._damage, options, is_wrapped, calls))
        self._damage = []
        steps = program.steps
        graph, problems = read_graph(steps, program.inputs)
        assert graph is not None and not problems, problems
        request = RunRequest(
            name="edited",
            graph=graph,
            groups=group_steps(graph.steps),
            placement=Placement(LOCAL),
            context=program.context,
            inputs=program.inputs,
            cache=cache,
            refresh=frozenset(refresh),
        )
        decision = plan_at(LocalPlace(self.store), request)
        plan, reuse = decision.plan, decision.reuse
        inputs = {a: v.save(self.store) for a, v in decision.inputs.items()}
        package = RunPackage(
            project=Project(self.folder, self.folder, ()),
            bundle=None,
            payloads={job.name: StepPayload(b"") for job in plan.jobs},
            given={**reuse.refs, **inputs},
        )
        run_id = f"run-{len(self.history)}"
        specs = job_specs(plan, decision.graph, package, reuse, run_id, self.store.uri)
        recording = {s.name: replace(s, func=_recording(s, calls, wrapper)) for s in steps}
        results: list[JobResult] = []
        for job in plan.jobs:
            spec = JobSpec.model_validate_json(specs[job.name].to_json())
            attempt = Attempt.begin(spec, self.store, 1)
            runner = JobRunner(
                attempt, recording, program.context, (), self.folder / "scratch", Interruption()
            )
            with contextlib.redirect_stderr(io.StringIO()):  # the log of the job
                succeeded = runner.run()
            assert succeeded, [report.failure for report in attempt.progress.reports]
            results.append(attempt.commit("succeeded"))
        own = {asset: ref for result in results for asset, ref in result.assets.items()}
        done = {
            report.name
            for result in results
            for report in result.steps
            if report.state in (StepState.SUCCEEDED, StepState.CACHED)
        }
        return CompletedRun(
            order=[name for job in plan.jobs for name in job.steps],
            calls=calls,
            stored={s.name: [a for a in s.assets if a in own] for s in steps if s.name in done},
            refs={**reuse.refs, **own},
            skipped=[asset for result in results for asset in result.skipped],
        )

    def value(self, run: CompletedRun, asset: str) -> Any:
        return load_value(self.store, run.refs[asset], asset, self.folder / "loaded")

    def delete_value(self, sha256: str, assets: Collection[str]) -> None:
        """Delete a stored object, which all assets of the same content share."""
        self._damage.append(f"the stored value of {', '.join(sorted(assets))}")
        self.store.path(artifact_key(sha256)).unlink()

    def delete_entries(self, step: str, run: int) -> None:
        """Delete the cache entries that a run wrote for a step."""
        self._damage.append(f"the cache entry of {step} from run {run}")
        for name in self.store.children("cache/"):
            entry = json.loads(self.store.get(f"cache/{name}"))
            if (entry["step"], entry["run_id"]) == (step, f"run-{run}"):
                self.store.path(f"cache/{name}").unlink()

    def report(self, error: Exception) -> str:
        """Return the runs as source code, edits and calls, and the check that failed."""
        parts = []
        before = ""
        for number, run in enumerate(self.history, 1):
            parts += [f"RUN {number}{_edit(before, run.text)}"]
            parts += [f"  Deleted before this run: {damage}" for damage in run.damage]
            results = " (the test changed some returned values)" if run.is_wrapped else ""
            parts += [f"  Executed{results}:", _indented([*map(str, run.calls)] or ["no step"]), ""]
            before = run.text
        message = str(error).partition("\n")[0]  # pytest adds lines to it
        parts += [f"FAILED after run {len(self.history)}: {type(error).__name__}: {message}"]
        return "\n".join(parts)


@contextlib.contextmanager
def temporary_machine(note: Callable[[str], None]) -> Iterator[Machine]:
    """Yield a machine in a temporary folder; pass the report of a failure to `note`."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        try:
            yield machine
        except Exception as error:
            note(machine.report(error))
            raise


def _recording(step: Step, calls: list[Call], wrapper: Wrapper) -> Callable[..., Any]:
    @functools.wraps(step.func)
    def call(**arguments: Any) -> Any:
        returned = wrapper(step.name, step.func(**arguments))
        calls.append(Call(step.name, arguments, returned))
        return returned

    return call


def _edit(before: str, after: str) -> str:
    if not before:
        return f":\n{_indented(after.splitlines())}"
    if before == after:
        return " without an edit:"
    # The first two lines of a diff name files.
    diff = [*difflib.unified_diff(before.splitlines(), after.splitlines(), n=3, lineterm="")][2:]
    return f" after this edit:\n{_indented(diff)}"


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}".rstrip() for line in lines)
