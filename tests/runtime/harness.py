"""Runs written to a directory store, and the real runner for their jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Timer
from typing import Any

from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.caching.lookup import find_reuse
from flowyml_aws.caching.run_keys import RunKeys
from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.graph import read_graph
from flowyml_aws.core.loading import stop_while_loading
from flowyml_aws.core.step import Step
from flowyml_aws.core.step_grouping import group_steps
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.packaging.bundle import SourceBundle, make_bundle
from flowyml_aws.packaging.code import RunCode
from flowyml_aws.packaging.payload import make_payload
from flowyml_aws.packaging.project import Project, find_project
from flowyml_aws.packaging.snapshot import snapshot_files
from flowyml_aws.packaging.starting import ProgramStart, start_program
from flowyml_aws.planning.make import make_plan
from flowyml_aws.planning.placement import Placement
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.result import AttemptEvents, JobResult, StepReport
from flowyml_aws.runtime.runner import JobRunner
from flowyml_aws.runtime.spec import JobSpec
from flowyml_aws.submission.package import RunPackage, job_specs, write_package, write_record

REPOSITORY = Path(__file__).parents[2]
RUN = "run-20260101-000000-abcdef"
TIMEOUT_S = 30


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that imports the package from this repository."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


def until(reached: Callable[[], Any]) -> Any:
    """Wait until a condition is true, and return its value."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (value := reached()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)
    return value


class WrittenRun:
    """A run as a client writes it, not yet started. Jobs have the names of their groups.

    Args:
        folder: Folder for the store.
        steps: Steps of the pipeline.
        context: Values for parameters.
        inputs: Values of external inputs.
        project: Project of the steps.
        bundle: Source bundle, if jobs do not run in the project itself.
        stop_idle_gpu_s: Time without use of GPUs after which steps are stopped.
    """

    def __init__(
        self,
        folder: Path,
        *steps: Step,
        context: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        project: Project | None = None,
        bundle: SourceBundle | None = None,
        stop_idle_gpu_s: float | None = None,
    ) -> None:
        stop_while_loading()  # jobs execute scripts that write runs
        self.folder = folder
        self.steps = {step.name: step for step in steps}
        self.context = dict(context or {})
        self.store = DirectoryArtifactStore(folder / "store")
        self.layout = RunLayout(RUN)
        inputs = dict(inputs or {})
        graph, problems = read_graph(steps, inputs, self.context)
        assert graph is not None and not problems, problems
        groups = group_steps(graph.steps)
        self.plan = make_plan("pipeline", Placement("local"), graph, groups, (), load_catalog())
        project = project or find_project(step.func for step in steps)
        in_place = bundle is None
        code = RunCode(
            project=project,
            bundle=bundle or make_bundle(snapshot_files(project, {})),
            program=project.program(in_place),
            in_place=in_place,
        )
        package = RunPackage(
            code=code,
            payloads={
                job.name: make_payload(group.steps, self.context)
                for job, group in zip(self.plan.jobs, groups, strict=True)
            },
            external_inputs={
                asset: save_value(self.store, asset, v) for asset, v in inputs.items()
            },
            stop_idle_gpu_s=stop_idle_gpu_s,
        )
        reuse = find_reuse(None, graph, {}, {}, ())
        specs = list(job_specs(self.plan, graph, package.facts, reuse, RUN, self.store.uri))
        self.specs = {spec.job: spec for spec in specs}
        keys = RunKeys(forced=(), steps={})
        places = write_package(self.store, package, specs, keys, RUN)
        self.record = write_record(self.store, self.plan, places, RUN, 0.0)

    def argument(self, job: str | None = None) -> str:
        """Return the argument of the runner."""
        return self.record.spec_argument(self._name(job), self.store.uri)

    def spec(self, job: str | None = None) -> JobSpec:
        return self.specs[self._name(job)]

    def start(self, job: str | None = None, **more: str) -> subprocess.Popen[str]:
        """Start the runner's process."""
        return start_runner(self.argument(job), self.folder, **more)

    def run(self, job: str | None = None, **more: str) -> Ended:
        """Run the runner's process until it ends."""
        return run_runner(self.argument(job), self.folder, **more)

    def runner(self, job: str | None = None, **options: Any) -> JobRunner:
        """Return a runner in this process, for the original steps."""
        return JobRunner(
            attempt=Attempt.begin(self.spec(job), self.store, 1),
            steps=self.steps,
            context=self.context,
            roots=(),
            scratch=self.folder / "assets",
            interruption=Interruption(),
            **options,
        )

    def result(self, job: str | None = None) -> JobResult:
        key = self.layout.result(self._name(job))
        return read_document(JobResult, self.store.get(key), key)

    def summaries(self, job: str | None = None) -> list[str]:
        """Return the names of the summaries of the job's result."""
        prefix = self.layout.summary(self._name(job), "")
        return [entry.key.removeprefix(prefix) for entry in self.store.walk(prefix)]

    def has_result(self, job: str | None = None) -> bool:
        return self.store.path(self.layout.result(self._name(job))).exists()

    def report(self, step: str, job: str | None = None) -> StepReport:
        """Return the report of a step in the job's result."""
        return {report.name: report for report in self.result(job).steps}[step]

    def events(self, attempt: int = 1, job: str | None = None) -> AttemptEvents:
        key = self.layout.attempt(self._name(job), attempt, "events.json")
        return read_document(AttemptEvents, self.store.get(key), key)

    def value(self, asset: str, job: str | None = None) -> Any:
        """Load a value that the job stored."""
        return load_value(self.store, self.result(job).assets[asset], asset, self.folder / "loaded")

    def _name(self, job: str | None) -> str:
        return job or self.plan.jobs[0].name


class Ended:
    """A process that has ended: its exit code and its output."""

    def __init__(self, code: int, log: str) -> None:
        self.code, self.log = code, log


def start_runner(argument: str, folder: Path, **more: str) -> subprocess.Popen[str]:
    return start_python(["-m", "flowyml_aws.job", argument], folder, **more)


def run_runner(argument: str, folder: Path, **more: str) -> Ended:
    """Run the runner's process until it ends."""
    process = start_program(
        ProgramStart(
            module="flowyml_aws.job",
            arguments=(argument,),
            cwd=folder,
            env=environment(**{"PYTHONUNBUFFERED": "1", **more}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    )
    timer = Timer(TIMEOUT_S, os.killpg, [process.pid, signal.SIGKILL])
    timer.start()
    assert process.stdout is not None
    with process.stdout:
        log = process.stdout.read().decode()
    code = process.wait()
    timer.cancel()
    return Ended(code, log)


def start_python(arguments: list[str], folder: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(**{"PYTHONUNBUFFERED": "1", **more}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    with process:
        try:
            log, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    return Ended(process.returncode, log)
