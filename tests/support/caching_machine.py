"""A machine that runs the source code of pipelines in this process, and reports its runs."""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import io
import json
import linecache
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from flowyml_aws import Step
from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.artifacts.values import load_value
from flowyml_aws.client.preview import plan_at
from flowyml_aws.client.request import PlanRequest
from flowyml_aws.core.decision_places import grouped_steps, place_decisions
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.bundle import SourceBundle
from flowyml_aws.packaging.code import RunCode
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.project import Project
from flowyml_aws.planning.placement import Placement
from flowyml_aws.runtime import program as job_program
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.result import JobResult, StepState
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.services.local.service import LocalHost
from flowyml_aws.services.run_services import RunServices
from flowyml_aws.submission.package import RunPackage, job_specs

__all__ = [
    "Call",
    "CompletedRun",
    "Machine",
    "Program",
    "Wrapper",
    "temporary_machine",
    "unchanged",
]

Wrapper = Callable[[str, Any], Any]
"""Takes a step's name and the return value of its function; returns the step's result."""

_PATH = "/project/edited.py"


def unchanged(step: str, returned: Any) -> Any:
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
        order: Steps of the run's jobs, in running order.
        calls: Calls of the steps' functions.
        stored: Step that was executed or found in the cache by its job → stored assets.
        refs: All assets of the run, new or from earlier runs.
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
        calls: Calls of the steps' functions so far.
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
        wrapper: Wrapper = unchanged,
    ) -> CompletedRun:
        """Run a program as `launch` does; `wrapper` may change what functions return."""
        calls: list[Call] = []
        options = {
            **({"refresh": refresh} if refresh else {}),
            **({} if cache else {"cache": False}),
        }
        is_wrapped = wrapper is not unchanged
        self.history.append(StartedRun(program, self._damage, options, is_wrapped, calls))
        self._damage = []
        steps = program.steps
        graph, problems = read_graph(steps, program.inputs, program.context)
        assert graph is not None and not problems, problems
        request = PlanRequest(
            name="edited",
            graph=graph,
            groups=place_decisions(group_steps(grouped_steps(graph.steps, graph.parents)), graph),
            placement=Placement("local"),
            context=program.context,
            inputs=program.inputs,
            forced=frozenset(refresh) if cache else frozenset(step.name for step in graph.steps),
        )
        decision = plan_at(RunServices(LocalHost(self.store), {}), request)
        plan, reuse = decision.plan, decision.reuse
        inputs = {a: v.save(self.store) for a, v in decision.inputs.values.items()}
        package = RunPackage(
            code=RunCode(
                project=Project(self.folder, self.folder, ()),
                bundle=SourceBundle(b"", "", 0, 0),
                program=job_program.Program(paths=()),
                in_place=True,
            ),
            payloads={job.name: StepPayload(b"") for job in plan.jobs},
            external_inputs={**reuse.refs, **inputs},
        )
        run_id = f"run-{len(self.history)}"
        specs = list(job_specs(plan, decision.graph, package.facts, reuse, run_id, self.store.uri))
        recording = {s.name: replace(s, func=_recording(s, calls, wrapper)) for s in steps}
        results: list[JobResult] = []
        for written in specs:
            spec = JobSpec.model_validate_json(written.to_json())
            attempt = Attempt.begin(spec, self.store, 1)
            runner = JobRunner(
                attempt, recording, program.context, (), self.folder / "scratch", Interruption()
            )
            with contextlib.redirect_stderr(io.StringIO()):  # the log of the job
                succeeded = runner.run()
            assert succeeded, [report.failure for report in attempt.progress.reports]
            results.append(attempt.commit("succeeded"))
        new_refs = {asset: ref for result in results for asset, ref in result.assets.items()}
        completed = {
            report.name
            for result in results
            for report in result.steps
            if report.state in (StepState.SUCCEEDED, StepState.CACHED)
        }
        return CompletedRun(
            order=[name for job in plan.jobs for name in job.steps],
            calls=calls,
            stored={
                s.name: [a for a in s.assets if a in new_refs] for s in steps if s.name in completed
            },
            refs={**reuse.refs, **new_refs},
            skipped=[asset for result in results for asset in result.skipped],
        )

    def value(self, run: CompletedRun, asset: str) -> Any:
        return load_value(self.store, run.refs[asset], asset, self.folder / "loaded")

    def delete_object(self, key: str, assets: Collection[str]) -> None:
        """Delete a stored object, in which all of these assets are."""
        self._damage.append(f"the stored value of {', '.join(sorted(assets))}")
        self.store.path(key).unlink()

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
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = inspect.signature(step.func).bind(*args, **kwargs).arguments
        returned = wrapper(step.name, step.func(*args, **kwargs))
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
