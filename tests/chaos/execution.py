"""The execution of a schedule: clients with faults, then one without, then one that reports."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flowyml_aws.core.maps import declared_name, is_part, item_name, slice_of_part
from flowyml_aws.warm.starter import WarmProcess
from tests.chaos.capacity import Shortages, spot_settings
from tests.chaos.client import DAMAGED
from tests.chaos.disturber import Disturber
from tests.chaos.evidence import Evidence, MoveEvidence, RunEvidence
from tests.chaos.schedule import Action, Client, Fate, Loss, Schedule, Task, length_of
from tests.chaos.stage import Stage

__all__ = ["Project", "execute", "nothing"]

CLIENT_LIMIT_S = 150.0
_PIPELINE = Path(__file__).with_name("pipeline.py")
_STEP_S = 0.15
_MAX_FAILURES = 8  # more than a schedule has
_ENDS_JOBS = (Fate.TERMINATE, Fate.INTERRUPT)

Sabotage = Callable[["Project", str], object]
"""Breaks a run on purpose, given its project and its id, before the facts are collected."""


def nothing(_project: Project, _run_id: str) -> None:
    """Break nothing."""


@dataclass
class Project:
    """The project of one run, in a folder of its own.

    Attributes:
        outcomes: Outcomes of the clients that have written one.
        problems: Mistakes of clients, as sentences.
        lost_clients: Number of clients that have stopped their jobs on this machine.
    """

    stage: Stage
    schedule: Schedule
    number: int
    folder: Path
    store: str | None
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lost_clients: int = 0
    _started: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "pyproject.toml").touch()
        shutil.copy(_PIPELINE, self.folder / "pipeline.py")
        write_shape(self.folder, f"chaos{self.number}", self.schedule.tasks, self.trace)

    @property
    def trace(self) -> Path:
        return self.folder.with_suffix(".trace")

    def executions(self) -> Counter[str]:
        """Return how often each step has begun."""
        return Counter(self.trace.read_text("utf-8").split() if self.trace.exists() else ())

    def start(self, action: str, client: Client | None = None) -> Running:
        """Start a client; without faults if none is given."""
        self._started += 1
        name = f"client-{self.number}-{self._started}"
        order: dict[str, Any] = {
            "action": action,
            "backend": self.schedule.backend,
            "outcome": str(self.folder.parent / f"{name}.json"),
            "assets": sorted(unread(self.schedule.tasks)),
        }
        if client is not None:
            fate = client.fate
            order |= {"skew_s": client.skew_s, "at_call": client.at_call}
            order |= {"fate": fate.name if fate else None, "call_arrives": client.call_arrives}
            if client.expires_at:
                self.stage.expiries[name] = client.expires_at
        settings = spot_settings(self.schedule.backend) if self.schedule.has_spot else {}
        process = self.stage.start(name, order, self.folder, self.store, settings)
        ends_jobs = client is not None and client.fate in _ENDS_JOBS
        return Running(self, f"{name} ({action})", process, Path(order["outcome"]), ends_jobs)

    def run(self, action: str) -> dict[str, Any]:
        """Run a client without faults until it ends; its error is a problem."""
        outcome = self.start(action).outcome()
        if "error" in outcome:
            self.problems.append(f"{action} without faults: {outcome['error']}")
        return outcome


@dataclass
class Running:
    """A client that was started.

    Attributes:
        file: File of its outcome.
        ends_jobs: Whether it stops its jobs on this machine if it dies.
    """

    project: Project
    name: str
    process: WarmProcess
    file: Path
    ends_jobs: bool
    started_at: float = field(default_factory=time.monotonic)
    _outcome: dict[str, Any] | None = None

    def is_running(self) -> bool:
        """Return whether it still runs. A client that takes too long is killed."""
        if self.process.poll() is not None:
            return False
        if time.monotonic() - self.started_at > CLIENT_LIMIT_S:
            os.kill(self.process.pid, signal.SIGUSR1)  # prints the stacks into its log
            time.sleep(0.5)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.project.problems.append(
                f"{self.name} did not end within {CLIENT_LIMIT_S:.0f} s:\n{self._log()}"
            )
            return False
        return True

    def outcome(self) -> dict[str, Any]:
        """Wait for its end, and return its outcome; empty if it died before."""
        while self.is_running():
            time.sleep(0.02)
        if self._outcome is None:
            self._outcome = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {}
            self.project.outcomes.append(self._outcome)
            ends_jobs = "error" in self._outcome or (self.ends_jobs and not self._outcome)
            self.project.lost_clients += ends_jobs
            if "bug" in self._outcome:
                self.project.problems.append(f"{self.name}: traceback\n{self._outcome['bug']}")
        return self._outcome

    def _log(self) -> str:
        return self.file.with_suffix(".log").read_text("utf-8", "replace")[-3000:]


def execute(schedule: Schedule, stage: Stage, sabotage: Sabotage = nothing) -> Evidence:
    """Execute a schedule, and return the facts."""
    began = time.monotonic()
    folder = stage.folder / uuid.uuid4().hex[:8]
    store = f"{stage.aws.environment['FLOWYML_AWS_STORE']}/{folder.name}" if stage.aws else None
    projects = [
        Project(stage, schedule, number, folder / f"run-{number}", store)
        for number in range(schedule.runs)
    ]
    disturber = _begin_faults(schedule, stage)
    shortages = Shortages(schedule, stage.aws) if stage.aws else None
    _run_clients(schedule, projects, shortages)
    _end_faults(stage, shortages)
    damaged = _damaged(projects)  # runs in one store share their values
    finished = [_finish(project, disturber, damaged, sabotage) for project in projects]
    runs = [run for run in finished if run is not None]
    problems = [problem for project in projects for problem in project.problems]
    return Evidence(
        runs=runs,
        problems=problems,
        lost_clients=sum(project.lost_clients for project in projects),
        seconds=time.monotonic() - began,
        faults=_faults(projects, disturber, shortages, runs),
    )


def _faults(
    projects: Sequence[Project],
    disturber: Disturber | None,
    shortages: Shortages | None,
    runs: Sequence[RunEvidence],
) -> Counter[str]:
    """Return how many faults have happened, by kind."""
    faults: Counter[str] = Counter()
    faults["failed jobs"] = sum(len(run.failures) for run in runs)
    faults["moves"] = sum(len(run.moves) for run in runs)
    if shortages is not None:
        faults["shortages"] = shortages.begun
    for project in projects:
        faults["clients without an outcome"] += sum(not outcome for outcome in project.outcomes)
        faults["clients with an error"] += sum("error" in outcome for outcome in project.outcomes)
        faults["damaged values"] += _damaged([project])
    if disturber is not None:
        faults += disturber.faults
    return +faults


def _begin_faults(schedule: Schedule, stage: Stage) -> Disturber | None:
    aws = stage.aws
    if aws is None:
        return None
    stage.expiries.clear()
    administrator = aws.administrator["AWS_ACCESS_KEY_ID"]
    disturber = Disturber(schedule, stage.clients, stage.expiries, administrator, stage.lose)
    aws.faults.clock_skew_s = float(schedule.services_skew_s)
    aws.faults.disturb(disturber)
    if schedule.failed_starts:
        aws.faults.fail_starts(schedule.failed_starts)
    if schedule.failed_launches:
        aws.faults.fail_launches(schedule.failed_launches)
    return disturber


def _end_faults(stage: Stage, shortages: Shortages | None) -> None:
    if stage.aws is not None:
        stage.aws.faults.disturb(None)
        stage.aws.faults.fail_launches(0)
    if shortages is not None:
        shortages.end()


def _run_clients(
    schedule: Schedule, projects: Sequence[Project], shortages: Shortages | None
) -> None:
    """Start each client when its moment has come, and wait for all."""
    waiting = {n: [c for c in schedule.clients if c.run == n] for n in range(schedule.runs)}
    running: dict[int, list[Running]] = {number: [] for number in waiting}
    while any(waiting.values()) or any(r.is_running() for rs in running.values() for r in rs):
        if shortages is not None:
            shortages.update(sum(project.executions().total() for project in projects))
        for number, clients in waiting.items():
            project = projects[number]
            if not clients:
                continue
            has_come = project.executions().total() >= clients[0].after_steps
            if has_come or not any(r.is_running() for r in running[number]):
                client = clients.pop(0)
                running[number].append(project.start(client.action.value, client))
        time.sleep(0.02)
    for each in running.values():
        for client_run in each:
            client_run.outcome()


def _damaged(projects: Sequence[Project]) -> int:
    return sum(
        len(list(project.folder.parent.glob(f"{project.folder.name}{DAMAGED}*")))
        for project in projects
    )


def _lost(
    stage: Stage, jobs: Mapping[str, Sequence[str]], disturber: Disturber | None
) -> Mapping[str, int]:
    """Return how often each job has lost its container, by run id and job."""
    if disturber is None:
        return {}
    attempts: Counter[str] = Counter()
    for run_id, names in jobs.items():
        lost = stage.lost_attempts(run_id, names)
        attempts += Counter({f"{run_id} {job}": number for job, number in lost.items()})
    return losses_by_job(attempts, disturber.lost)


def losses_by_job(attempts: Counter[str], ended: Mapping[Loss, Counter[str]]) -> Mapping[str, int]:
    """Return how often each job has lost its container.

    Args:
        attempts: Attempts that the service reports as lost. Hosts of training jobs are missing.
        ended: Containers that the schedule has ended. Those without memory are not in `attempts`.
    """
    return (attempts | ended[Loss.HOST]) + ended[Loss.MEMORY]


def _finish(
    project: Project, disturber: Disturber | None, damaged: int, sabotage: Sabotage
) -> RunEvidence | None:
    """Drive a run to its end without faults, and collect the facts."""
    driven = project.run("attach")
    ends = [driven]
    collected = [run_id for o in project.outcomes for run_id in o.get("collected", ())]
    name = f"chaos{project.number}-"
    is_collected = any(run_id.startswith(name) for run_id in collected)
    if driven.get("run_id") is None and not is_collected:
        driven = project.run("run")  # its client died before there was a run
        ends.append(driven)
    while driven.get("state") == "failed" and len(ends) <= _MAX_FAILURES:
        driven = project.run("resume")
        ends.append(driven)
    report = {} if is_collected else project.run("report")
    run_id = report.get("run_id") or next((r for r in collected if r.startswith(name)), None)
    if run_id is None:
        return None
    sabotage(project, run_id)
    billed = {
        f"{end['run_id']} {job}": seconds
        for end in ends
        for job, seconds in end.get("bills", {}).items()
    }
    billed |= {f"{run_id} {job}": seconds for job, seconds in report.get("bills", {}).items()}
    run_jobs = {end["run_id"]: end["jobs"] for end in ends if "jobs" in end}
    run_jobs = {**run_jobs, run_id: report.get("jobs", {})}
    tasks = project.schedule.tasks
    values = plain_values(project.folder, tasks)
    return RunEvidence(
        run_id=run_id,
        state=report.get("state", "unknown"),
        driven_state=driven.get("state", "unknown"),
        jobs={
            f"{each} {job}": with_items(steps, tasks)
            for each, jobs in run_jobs.items()
            for job, steps in jobs.items()
        },
        steps=report.get("steps", {}),
        committed=report.get("committed", {}),
        outputs=report.get("outputs", {}),
        expected={asset: values[asset] for asset in unread(tasks) if asset in values},
        skipped=_skipped(tasks, values),
        started=report.get("started", ()),
        executions=project.executions(),
        lost=_lost(project.stage, {each: list(jobs) for each, jobs in run_jobs.items()}, disturber),
        moves=_moves(ends, report),
        driven_moves=[MoveEvidence(**move) for move in driven.get("moves", ())],
        reported_moves=[MoveEvidence(**move) for move in report.get("moves", ())],
        targets=report.get("targets", {}),
        damaged=damaged,
        failures=[text for end in ends for text in end.get("failures", ())],
        left_jobs=[job for each in run_jobs for job in project.stage.left_jobs(each)],
        billed_s=billed,
        service_billed_s={
            f"{each} {job}": seconds
            for each, jobs in run_jobs.items()
            for job, seconds in project.stage.service_billed_s(each, list(jobs)).items()
        },
        is_cancelled=any(c.action is Action.CANCEL for c in _clients_of(project)),
        is_collected=is_collected,
    )


def _moves(ends: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> list[MoveEvidence]:
    """Return the moves of a run and of the runs that it continues."""
    by_run = {end["run_id"]: end.get("moves", ()) for end in (*ends, report) if "run_id" in end}
    return [MoveEvidence(**move) for moves in by_run.values() for move in moves]


def _clients_of(project: Project) -> list[Client]:
    return [client for client in project.schedule.clients if client.run == project.number]


def unread(tasks: Sequence[Task]) -> set[str]:
    """Return the assets that no step reads."""
    read = {number for task in tasks for number in task.reads} | deciding(tasks)
    return {f"a{number}" for number in range(len(tasks)) if number not in read}


def deciding(tasks: Sequence[Task]) -> set[int]:
    """Return the numbers of the steps whose output decides about others."""
    return {task.branch[0] for task in tasks if task.branch is not None}


def _skipped(tasks: Sequence[Task], values: Mapping[str, Any]) -> list[str]:
    """Return the steps without a value, with the decisions about them."""
    missing = [number for number in range(len(tasks)) if f"a{number}" not in values]
    decisions = (f"d{number}" for number in missing if number in deciding(tasks))
    return [*(f"s{number}" for number in missing), *decisions]


def with_items(steps: Sequence[str], tasks: Sequence[Task]) -> list[str]:
    """Return the steps of a job, with the items of parts of maps."""
    names = list(steps)
    for name in filter(is_part, steps):
        part, count = name.rpartition("{")[2].removesuffix("}").split("/")
        step = declared_name(name)
        length = length_of(tasks, int(step[1:]))
        positions = slice_of_part(int(part) - 1, int(count), length)
        names += (item_name(step, position) for position in positions)
    return names


def write_shape(folder: Path, name: str, tasks: Sequence[Task], trace: Path | None) -> None:
    """Write what the steps of a project do."""
    shape = {
        "name": name,
        "tasks": [_as_json(task) for task in tasks],
        "trace": None if trace is None else str(trace),
        "step_s": _STEP_S,
    }
    (folder / "shape.json").write_text(json.dumps(shape), "utf-8")


def _as_json(task: Task) -> dict[str, Any]:
    return {**asdict(task), "trouble": task.trouble and task.trouble.name}


def plain_values(project: Path, tasks: Sequence[Task]) -> Mapping[str, Any]:
    """Return the outputs of plain calls of the steps in this process.

    Those of steps in a branch that is not chosen are missing, and of steps that need them.
    """
    folder = project.with_suffix(".plain")
    folder.mkdir()
    shutil.copy(_PIPELINE, folder / "pipeline.py")
    write_shape(folder, "plain", tasks, None)
    values: dict[str, Any] = {}
    program = runpy.run_path(str(folder / "pipeline.py"))
    steps = {step.name: step for step in program["pipeline"].steps}
    for number, task in enumerate(tasks):
        step = steps[f"s{number}"]
        if not values.keys() >= {f"a{read}" for read in task.reads}:
            continue
        if task.branch is not None:
            decider, parity = task.branch
            decided = values.get(f"a{decider}")
            if decided is None or str(decided % 2) != parity:
                continue
        inputs = {f"a{read}": values[f"a{read}"] for read in task.reads}
        if task.items is None:
            values[f"a{number}"] = step.func(**inputs)
            continue
        (over,) = step.mapping.over
        items = program["LISTS"][over] if task.items.over is None else values[over]
        values[f"a{number}"] = [
            step.func(**{**inputs, over: item})
            for item in items
            if not (task.items.drops and item[0] == task.items.item)
        ]
    return values
