"""A shell in a running job of a run."""

from __future__ import annotations

from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.submission.backend import JobState, Shells, ShellSession, no_shells
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.job_names import find_jobs

__all__ = ["open_shell"]


def open_shell(driver: RunDriver, name: str, node: int = 0, shell: str = "/bin/sh") -> ShellSession:
    """Open a shell in the container of the running job of a step.

    Args:
        driver: Driver of the run.
        name: Name of a step, an item (`train[3]`) or a job.
        node: Number of the node, from 0.
        shell: Program to start, if the service lets the caller select one.

    Raises:
        RunNotFoundError: The run has no such step.
        StepUnavailableError: No job of the step runs, several do, or the job has no shell.
        AwsRefusedError: AWS denied the call, or can't connect to the container.
    """
    run_id = driver.record.run_id
    found = {job.name: job for job in find_jobs(driver.plan, name, run_id)}
    views = [view for view in driver.status().jobs if view.job.name in found]
    running = [view.job for view in views if view.state is JobState.RUNNING]
    if len(running) != 1:
        states = ", ".join(f"{view.job.name} is {view.state_name}" for view in views[:5])
        raise StepUnavailableError(
            what=f"{len(running) or 'No'} jobs of {name!r} are running",
            why=states,
            fix="name one that runs: `flowyml-aws status` shows them"
            if running
            else "open a shell while it runs, or start a job like it with `flowyml-aws exec`",
        )
    (job,) = running
    if node >= job.needs.nodes:
        raise StepUnavailableError(
            what=f"Job {job.name!r} has no node {node}",
            why=f"it has {job.needs.nodes}, counted from 0",
            fix="name one of them with --node",
        )
    if not isinstance(driver.backend, Shells):
        raise no_shells(job.name, job.backend)
    return driver.backend.open_shell(job.name, node, shell)
