"""Answers to the approvals of a run, and its continuation afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.core.errors import ApprovalError, ArtifactNotFoundError, SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.planning.services import service_traits
from flowyml_aws.services.connect import locate_run
from flowyml_aws.submission.approvals import Answer, ApprovalState, ApprovalView
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState
from flowyml_aws.submission.status import RunStatus

__all__ = ["answer_approval"]


def answer_approval(
    driver: RunDriver,
    name: str | None,
    answer: Literal["approved", "rejected"],
    comment: str | None,
    by: str,
) -> RunStatus:
    """Answer an approval, and let the run continue. Return its status.

    The jobs after it are submitted, if they continue without this client. The driver of a detached
    run is started again if it has ended because no one had answered.

    Args:
        driver: Driver of the run.
        name: Name of the approval; None if only one waits.
        answer: The answer.
        comment: Comment for readers of the run, or None.
        by: User and machine that answer.

    Raises:
        ApprovalError: The run has no such approval, or it does not wait for an answer.
        SettingsError: The answer counts, but the driver of the run can't be started again.
    """
    approval = _find(driver.status(), name)
    document = Answer(
        approval=approval.name,
        answer=answer,
        answered_at=driver.clock(),
        by=by,
        comment=None if comment is None else str(comment),
    )
    if (first := driver.answers.answer(document)) is not None:
        raise _answered(approval.name, first, driver.record.run_id)
    return _continue(driver, approval)


def _find(status: RunStatus, name: str | None) -> ApprovalView:
    """Return the approval with a name, or the only one that waits.

    Raises:
        ApprovalError: There is none, or it does not wait.
    """
    known = {view.name: view for view in status.approvals}
    if not known:
        raise ApprovalError(
            what=f"Run {status.run_id} waits for no approval",
            why="no job of its plan is after an approval",
            fix="list the runs that wait with `flowyml-aws runs`",
        )
    waiting = [view for view in known.values() if view.state is ApprovalState.WAITING]
    if name is None:
        if len(waiting) == 1:
            return waiting[0]
        if waiting:
            names = ", ".join(repr(view.name) for view in waiting)
            raise ApprovalError(
                what=f"{len(waiting)} approvals of run {status.run_id} wait for an answer",
                why=f"they are {names}",
                fix="name one of them",
            )
        raise ApprovalError(
            what=f"No approval of run {status.run_id} waits for an answer",
            why=_states(tuple(known.values()), status),
            fix=f"see `flowyml-aws status {status.run_id}`",
        )
    if name not in known:
        raise ApprovalError(
            what=f"Run {status.run_id} has no approval {name!r}",
            why=f"its approvals are {', '.join(known)}",
            fix=did_you_mean(name, known, "name one of them"),
        )
    view = known[name]
    if view.state is ApprovalState.WAITING:
        return view
    if view.answer is not None:
        raise _answered(name, view.answer, status.run_id)
    raise ApprovalError(
        what=f"Approval {name!r} of run {status.run_id} does not wait for an answer",
        why=_states([view], status),
        fix="wait until the jobs before it have succeeded"
        if status.state is RunState.RUNNING
        else f"see `flowyml-aws status {status.run_id}`",
    )


def _states(views: Sequence[ApprovalView], status: RunStatus) -> str:
    if status.state is not RunState.RUNNING:
        return f"the run has ended: {status.state.value}"
    return ", ".join(f"{view.name!r} is {view.state.value}" for view in views)


def _answered(name: str, answer: Answer, run_id: str) -> ApprovalError:
    return ApprovalError(
        what=f"Approval {name!r} of run {run_id} has an answer",
        why=f"it was {answer}",
        fix="the first answer counts; start a new run to decide again",
    )


def _continue(driver: RunDriver, approval: ApprovalView) -> RunStatus:
    """Submit the jobs that are ready, start the driver again if necessary, return the status."""
    backends = dict.fromkeys(job.backend for job in driver.plan.jobs)
    if not all(service_traits(name).outlives_client for name in backends):
        return driver.status()  # jobs would end with this process
    was_idle = _is_idle(driver.status(), approval)
    status = driver.advance()
    if status.state is RunState.RUNNING and was_idle and _has_driver(driver):
        _start_driver(driver.record.run_id)
    return driver.status()


def _start_driver(run_id: str) -> None:
    """Start the driver of a detached run again.

    Raises:
        SettingsError: The settings of this client do not allow it.
    """
    found = locate_run(run_id)
    for problem in found.services.driver_problems(found.plan):
        raise SettingsError(
            what=f"The answer counts, but the driver of run {run_id} was not started again",
            why=f"{problem.what}: {problem.why}",
            fix=f"`flowyml-aws attach {run_id}` drives the run instead; for the next time: "
            f"{problem.fix}",
        )
    found.services.start_driver(found.record, found.plan)


def _is_idle(status: RunStatus, approval: ApprovalView) -> bool:
    """Return whether no job was active when an approval was answered.

    The driver of a detached run ends then. It may do so after the answer, which it has not read.
    """
    asked = [view for view in status.approvals if view.state is ApprovalState.WAITING]
    waiting = {job for view in (*asked, approval) for job in view.jobs}
    return all(view.state.ended or view.job.name in waiting for view in status.jobs)


def _has_driver(driver: RunDriver) -> bool:
    try:
        driver.store.get(RunLayout(driver.record.run_id).driver)
    except ArtifactNotFoundError:
        return False
    return True
