"""Runs with a cache give what runs without one give, and nothing runs that need not.

What *need not* run means here. Two executions of a step are **the same** if its code, the context
values that it reads, what its cache function returns and each asset that it reads are the same:
an asset by its content where the reader says `input_hash`, the run brings it along, or a step
before it says `input_hash` or `cache=False`, else by what its step's execution was. The outcome
of an execution is what its latest run stored, as long as it lies there. A skipped step has none.

- An asset is asked for if it is a result, if a step with `cache=False` makes it, or if a step that
  is open reads it.
- A step is **open** if an asset of it is asked for that no outcome gives which can be told before
  the run: for contents, from outcomes alone. Steps that are refreshed are open, with all behind.
- An open step does not run if it is skipped; or if it goes by the content of what another open
  step makes, so that only its job could tell, and all its assets are in an outcome.
- Every other open step runs: once. No other step does.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowyml_aws.artifacts.layout import artifact_key
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import encode_value, load_value
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
from tests.support.edited import GIVEN, Edit, Helper, Pipe, Task, edited, edits, pipes


class Round(NamedTuple):
    """What happens before a run, and what the run is told.

    Attributes:
        back: Take the pipeline of the first run again, before any edits.
        value: Number of a stored value that is removed, or None.
        entry: Number of a cache entry that is removed, or None.
        refresh: Number of a step to refresh, or None.
        cache: The run's.
    """

    back: bool
    edits: Sequence[Edit]
    value: int | None
    entry: int | None
    refresh: int | None
    cache: bool


seldom = st.none() | st.none() | st.none() | st.integers(0, 20)
rounds = st.builds(
    Round,
    st.sampled_from([False, False, False, True]),
    st.lists(edits(), max_size=2),
    seldom,
    seldom,
    seldom,
    st.sampled_from([True] * 9 + [False]),
)


AT_FIRST = Round(False, (), None, None, None, True)


class Call(NamedTuple):
    """A call of a step's function in a run."""

    step: str
    arguments: Mapping[str, Any]
    returned: Any


@dataclass(frozen=True)
class Ran:
    """What a run did.

    Attributes:
        order: The steps of its jobs, in running order.
        calls: Of functions of steps.
        stored: For each step that ran or was found by its job, the assets that it stored.
        refs: Every value that the run has, of its own or from before.
        skipped: Assets.
    """

    order: Sequence[str]
    calls: Sequence[Call]
    stored: Mapping[str, Collection[str]]
    refs: Mapping[str, ArtifactRef]
    skipped: Collection[str]


@dataclass
class Machine:
    """Runs pipelines in this process, on one store."""

    folder: Path
    runs: int = 0

    def __post_init__(self) -> None:
        self.store = DirectoryArtifactStore(self.folder / "store")

    def run(
        self,
        pipe: Pipe,
        functions: Mapping[str, Callable[..., Any]],
        refresh: Collection[str] = (),
        cache: bool = True,
        around: Callable[[str, Any], Any] = lambda _, returned: returned,
    ) -> Ran:
        """A run as `launch` makes it; `around` may change what functions return."""
        steps = pipe.steps(functions)
        graph, problems = read_graph(steps, pipe.inputs)
        assert graph is not None and not problems
        request = RunRequest(
            name="edited",
            graph=graph,
            groups=group_steps(graph.steps),
            placement=Placement(LOCAL),
            context=pipe.values,
            inputs=pipe.inputs,
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
        self.runs += 1
        run_id = f"run-{self.runs}"
        specs = job_specs(plan, decision.graph, package, reuse, run_id, self.store.uri)
        calls: list[Call] = []
        noted = {s.name: replace(s, func=_noted(s.name, s.func, calls, around)) for s in steps}
        results: list[JobResult] = []
        for job in plan.jobs:
            spec = JobSpec.model_validate_json(specs[job.name].to_json())
            attempt = Attempt.begin(spec, self.store, 1)
            runner = JobRunner(
                attempt, noted, pipe.values, (), self.folder / "scratch", Interruption()
            )
            assert runner.run(), [report.failure for report in attempt.progress.reports]
            results.append(attempt.commit("succeeded"))
        own = {asset: ref for result in results for asset, ref in result.assets.items()}
        done = {
            report.name
            for result in results
            for report in result.steps
            if report.state in (StepState.SUCCEEDED, StepState.CACHED)
        }
        return Ran(
            order=[name for job in plan.jobs for name in job.steps],
            calls=calls,
            stored={
                t.name: [a for a in t.assets if a in own] for t in pipe.tasks if t.name in done
            },
            refs={**reuse.refs, **own},
            skipped=[asset for result in results for asset in result.skipped],
        )

    def value(self, ran: Ran, asset: str) -> Any:
        return load_value(self.store, ran.refs[asset], asset, self.folder / "loaded")

    def remove_value(self, sha256: str) -> None:
        self.store.path(artifact_key(sha256)).unlink()

    def remove_entry(self, step: str, run: int) -> None:
        """The cache entries that a run left for a step."""
        for name in self.store.children("cache/"):
            entry = json.loads(self.store.get(f"cache/{name}"))
            if (entry["step"], entry["run_id"]) == (step, f"run-{run}"):
                self.store.path(f"cache/{name}").unlink()


def _noted(
    name: str, function: Callable[..., Any], calls: list[Call], around: Callable[[str, Any], Any]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(**arguments: Any) -> Any:
        returned = around(name, function(**arguments))
        calls.append(Call(name, arguments, returned))
        return returned

    return call


class Outcome(NamedTuple):
    """What the latest run of an execution stored."""

    run: int
    step: str
    assets: Collection[str]


@dataclass
class Past:
    """What runs before left: outcomes by execution, digests of the values that lie there."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)


class Oracle:
    """Tells who has to run, from the pipeline as text and the values of plain functions."""

    def __init__(self, pipe: Pipe, contents: Mapping[str, str], past: Past) -> None:
        self.pipe, self.contents, self.past = pipe, contents, past
        self.tasks = {task.name: task for task in pipe.tasks}
        self.maker = {asset: task for task in pipe.tasks for asset in task.assets}
        self._executions: dict[str, str | None] = {}

    def behind(self, names: Collection[str]) -> set[str]:
        """Steps of these names, and all that depend on them."""
        found = set(names)
        for task in self.pipe.tasks:
            if any(asset in self.maker and self.maker[asset].name in found for asset in task.reads):
                found.add(task.name)
        return found

    def by_content(self, reader: Task) -> list[str]:
        """Assets that it reads which are known by their content."""
        contents = [t.name for t in self.pipe.tasks if t.rule in ("input_hash", False)]
        behind = self.behind(contents)
        return [
            asset
            for asset in reader.reads
            if reader.rule == "input_hash" or asset in GIVEN or self.maker[asset].name in behind
        ]

    def execution(self, task: Task) -> str | None:
        """What names an execution; None if it reads what does not exist."""
        if task.name not in self._executions:
            self._executions[task.name] = self._execution(task)
        return self._executions[task.name]

    def _execution(self, task: Task) -> str | None:
        contents = self.by_content(task)
        assets: list[tuple[str, str | None]] = []
        for asset in task.reads:
            known = self.contents.get(asset)
            if asset not in contents:
                known = None if known is None else self.execution(self.maker[asset])
            if known is None:
                return None
            assets.append((asset, known))
        code = task._replace(rule=None, group=None, note=0)
        helper = self.pipe.helpers[task.helper] if task.helper is not None else None
        context = [(name, self.pipe.values[name]) for name in task.context]
        facts = (code, helper, context, self.pipe.returned(task), assets)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def outcome(self, task: Task) -> Outcome | None:
        execution = self.execution(task)
        if execution is None or task.rule is False:
            return None
        return self.past.outcomes.get(execution)

    def open(self, anew: Collection[str]) -> set[str]:
        """Steps that the client cannot tell to be there."""
        told: dict[str, Outcome] = {}
        for task in self.pipe.tasks:
            makers = [(asset, self.maker.get(asset)) for asset in self.by_content(task)]
            known = all(
                maker is None or (maker.name in told and asset in told[maker.name].assets)
                for asset, maker in makers
            )
            outcome = self.outcome(task)
            if known and outcome is not None and task.name not in anew:
                told[task.name] = outcome
        read = {asset for task in self.pipe.tasks for asset in task.reads}
        asked = [a for t in self.pipe.tasks for a in t.assets if a not in read or t.rule is False]
        found: set[str] = set()
        while asked:
            asset = asked.pop()
            task = self.maker[asset]
            there = task.name in told and asset in told[task.name].assets
            if task.name in found or (there and self.contents[asset] in self.past.values):
                continue
            found.add(task.name)
            asked += [read for read in task.reads if read not in GIVEN]
        return found

    def settle(self, ran: Ran, opened: Collection[str], anew: Collection[str], run: int) -> None:
        """Check who ran, in running order, and note what that left."""
        called = [call.step for call in ran.calls]
        assert len(called) == len(set(called))
        assert set(ran.order) >= set(opened)
        assert set(called) <= set(opened), "what is known before need not run"
        for task in (self.tasks[name] for name in ran.order if name in opened):
            if any(asset not in self.contents for asset in task.assets):
                assert task.name not in called, f"{task.name} is to be skipped"
                continue
            waits = any(
                asset in self.maker and self.maker[asset].name in opened
                for asset in self.by_content(task)
            )
            outcome = self.outcome(task)
            if (
                waits
                and task.name not in anew
                and outcome is not None
                and all(
                    asset in outcome.assets and self.contents[asset] in self.past.values
                    for asset in task.assets
                )
            ):
                assert task.name not in called, f"{task.name} need not run: its job could tell"
                continue
            assert task.name in called, f"{task.name} has to run"
            stored = ran.stored[task.name]
            self.past.values.update(self.contents[asset] for asset in stored)
            execution = self.execution(task)
            if stored and task.rule is not False and execution is not None:
                self.past.outcomes[execution] = Outcome(run, task.name, stored)


@contextmanager
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as folder:
        yield Machine(Path(folder))


def content(asset: str, value: Any) -> str:
    return encode_value(asset, value).sha256


def damage(machine: Machine, past: Past, told: Round) -> None:
    if told.value is not None and past.values:
        gone = sorted(past.values)[told.value % len(past.values)]
        past.values.remove(gone)
        machine.remove_value(gone)
    if told.entry is not None and past.outcomes:
        execution, outcome = sorted(past.outcomes.items())[told.entry % len(past.outcomes)]
        del past.outcomes[execution]
        machine.remove_entry(outcome.step, outcome.run)


def check_values(machine: Machine, pipe: Pipe, ran: Ran, direct: Mapping[str, Any]) -> None:
    """Everything that the run has is what plain functions make, and it has what it must."""
    for asset in ran.refs:
        assert repr(machine.value(ran, asset)) == repr(direct.get(asset)), asset
    called = {call.step for call in ran.calls}
    read = {asset for task in pipe.tasks for asset in task.reads}
    for task in pipe.tasks:
        for asset in task.assets:
            if asset not in direct:
                assert asset not in ran.refs
                assert asset in ran.skipped or asset in read
            elif asset not in read or (task.name in called and task.rule):
                assert asset in ran.refs, f"{asset} is not stored"


def task(number: int, rule: str | bool | None, *inputs: str) -> Task:
    return Task(f"step_{number}", inputs, 1, 0, False, None, (), (), rule, None, 0)


def piped(*tasks: Task) -> Pipe:
    return Pipe(tasks, (Helper(0, 0), Helper(0, 0)), (0, 0), (0, 0))


# What is drawn seldom: only a cache function says something else; each value is gone in turn.
@example(
    first=piped(task(0, "called")),
    others=[AT_FIRST._replace(edits=[Edit("context", 0, 2)])],
)
@example(
    first=piped(task(0, False), task(1, None, "step_0_0")),
    others=[AT_FIRST._replace(value=number) for number in range(3)],
)
@settings(max_examples=60)
@given(first=pipes(), others=st.lists(rounds, min_size=1, max_size=4))
def test_a_run_with_a_cache_gives_the_same_and_runs_nothing_that_need_not(
    first: Pipe, others: list[Round]
) -> None:
    past, pipe = Past(), first
    with machine() as at:
        for number, told in enumerate([AT_FIRST, *others], 1):
            damage(at, past, told)
            pipe = edited(first if told.back else pipe, told.edits)
            functions = pipe.functions()
            direct = pipe.directly(functions)
            oracle = Oracle(pipe, {a: content(a, v) for a, v in direct.items()}, past)
            names = [task.name for task in pipe.tasks]
            refresh = [] if told.refresh is None else [names[told.refresh % len(names)]]
            anew = oracle.behind(refresh) if told.cache else set(names)
            opened = oracle.open(anew)
            ran = at.run(pipe, functions, refresh, told.cache)
            past.values.update(content(name, value) for name, value in pipe.inputs.items())
            check_values(at, pipe, ran, direct)
            oracle.settle(ran, opened, anew, number)


def moody(pipe: Pipe, mood: int, names: Collection[str]) -> Callable[[str, Any], Any]:
    """Makes steps return something else in each mood."""
    outputs = {task.name: task.outputs for task in pipe.tasks if task.name in names}

    def around(name: str, returned: Any) -> Any:
        if name not in outputs:
            return returned
        return [returned, mood] if outputs[name] == 1 else [[value, mood] for value in returned]

    return around


def never_cached(pipe: Pipe, name: str) -> Pipe:
    tasks = (t._replace(rule=False) if t.name == name else t for t in pipe.tasks)
    return replace(pipe, tasks=tuple(tasks))


@settings(max_examples=30)
@given(
    pipe=pipes(),
    others=st.lists(st.lists(edits(), max_size=2), min_size=1, max_size=4),
    where=st.integers(0, 6),
)
def test_behind_a_step_that_always_runs_all_fits_what_it_returned_in_this_run(
    pipe: Pipe, others: list[list[Edit]], where: int
) -> None:
    name = f"step_{where % len(pipe.tasks)}"
    with machine() as at:
        for number, changes in enumerate([[], *others]):
            pipe = never_cached(edited(pipe, changes), name)
            functions = pipe.functions()
            around = moody(pipe, number // 2, [name])  # some moods come twice
            ran = at.run(pipe, functions, around=around)
            direct = pipe.directly(
                {n: functools.partial(_called, around, n, f) for n, f in functions.items()}
            )
            check_values(at, pipe, ran, direct)


def _called(around: Callable[[str, Any], Any], name: str, function: Any, **arguments: Any) -> Any:
    return around(name, function(**arguments))


@settings(max_examples=30)
@given(first=pipes(), others=st.lists(rounds, min_size=1, max_size=4))
def test_whatever_steps_return_each_reader_gets_what_the_run_recorded(
    first: Pipe, others: list[Round]
) -> None:
    pipe = first
    with machine() as at:
        for number, told in enumerate(others):
            pipe = edited(first if told.back else pipe, told.edits)
            names = [task.name for task in pipe.tasks]
            refresh = [] if told.refresh is None else [names[told.refresh % len(names)]]
            around = moody(pipe, number, names)
            ran = at.run(pipe, pipe.functions(), refresh, told.cache, around)
            recorded = {asset: repr(at.value(ran, asset)) for asset in ran.refs}
            for call in ran.calls:
                task = pipe.tasks[names.index(call.step)]
                values = call.returned if task.outputs > 1 else [call.returned]
                known = {**call.arguments, **dict(zip(task.assets, values, strict=True))}
                for asset in known.keys() & recorded.keys():
                    assert repr(known[asset]) == recorded[asset]
