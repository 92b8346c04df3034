"""The status of a run together with those of its sub-runs, as one table shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.runtime.result import StepReport
from flowyml_aws.submission.status import JobView, RunStatus

__all__ = ["with_sub_runs"]

Value = TypeVar("Value")


def with_sub_runs(status: RunStatus) -> RunStatus:
    """Return a status in which the jobs of a sub-run follow the job of its dynamic step.

    Their names, and those of their steps and maps, start with the name of the dynamic step:
    `search/train`. Costs of the whole run remain: they include the sub-runs already.
    """
    parts = {
        each.step: _renamed(with_sub_runs(each.status), f"{each.step}/")
        for each in status.expansions
        if each.status is not None
    }
    if not parts:
        return status
    jobs: list[JobView] = []
    for view in status.jobs:
        inner = [parts[step] for step in view.job.steps if step in parts]
        jobs.append(_without_tracebacks(view) if inner else view)
        jobs += (each for part in inner for each in part.jobs)
    every = (status, *parts.values())
    return replace(
        status,
        jobs=tuple(jobs),
        reused=_joined(part.reused for part in every),
        bills=_joined(part.bills for part in every),
        unbilled=tuple(job for part in every for job in part.unbilled),
        moves=tuple(move for part in every for move in part.moves),
        lost=_joined(part.lost for part in every),
        times=_joined(part.times for part in every),
        ended=_joined(part.ended for part in every),
        maps=_joined(part.maps for part in every),
        approvals=tuple(each for part in every for each in part.approvals),
        expansions=(),
    )


def _renamed(status: RunStatus, path: str) -> RunStatus:
    """Return a status in which all names start with a path."""
    return replace(
        status,
        jobs=tuple(_renamed_view(view, path) for view in status.jobs),
        reused=_at(path, status.reused),
        bills=_at(path, status.bills),
        unbilled=tuple(f"{path}{job}" for job in status.unbilled),
        moves=tuple(m.model_copy(update={"job": f"{path}{m.job}"}) for m in status.moves),
        lost=_at(path, status.lost),
        times=_at(path, status.times),
        ended=_at(path, status.ended),
        maps=_at(path, status.maps),
        approvals=tuple(
            replace(
                each,
                jobs=tuple(f"{path}{job}" for job in each.jobs),
                run_id=each.run_id or status.run_id,
            )
            for each in status.approvals
        ),
    )


def _renamed_view(view: JobView, path: str) -> JobView:
    steps = tuple(r.model_copy(update={"name": f"{path}{r.name}"}) for r in view.steps)
    return replace(view, job=_renamed_job(view.job, path), steps=steps)


def _renamed_job(job: PlannedJob, path: str) -> PlannedJob:
    return job.model_copy(
        update={
            "name": f"{path}{job.name}",
            "steps": tuple(f"{path}{step}" for step in job.steps),
            "after": tuple(f"{path}{parent}" for parent in job.after),
            "produces": _at(path, job.produces),
            "mapped": tuple(f"{path}{step}" for step in job.mapped),
        }
    )


def _without_tracebacks(view: JobView) -> JobView:
    """Return the view of a job without tracebacks, which the job of the sub-run has, too."""
    return replace(view, steps=tuple(map(_without_traceback, view.steps)))


def _without_traceback(report: StepReport) -> StepReport:
    if report.failure is None:
        return report
    failure = report.failure.model_copy(update={"traceback": None})
    return report.model_copy(update={"failure": failure})


def _at(path: str, values: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{path}{name}": value for name, value in values.items()}


def _joined(mappings: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {name: value for each in mappings for name, value in each.items()}
