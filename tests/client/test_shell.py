"""The job in which a shell is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from flowyml_aws.client.shell import open_shell
from flowyml_aws.core.errors import StepUnavailableError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.planning.needs import Needs
from flowyml_aws.submission.backend import Backend, JobState, JobStatus, ShellSession
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.routing import RoutedBackend
from tests.submission.scripted import ScriptedBackend
from tests.support.maps import a_map, a_map_job
from tests.support.plans import a_job, a_plan, a_record

PLAN = a_plan(
    a_job("load"), a_map_job(0, 0), a_map_job(1, 1), a_job("wide", needs=Needs(nodes=2))
).model_copy(update={"maps": {"train": a_map(2)}})


@dataclass
class Opening(ScriptedBackend):
    """A scripted backend that opens shells."""

    def open_shell(self, job: str, node: int, shell: str) -> ShellSession:
        return ShellSession((job, str(node), shell))


def driver(tmp_path: Path, backend: Backend, *running: str) -> RunDriver:
    assert isinstance(backend, ScriptedBackend)
    for job in PLAN.jobs:
        state = JobState.RUNNING if job.name in running else JobState.QUEUED
        backend.reported[job.name] = JobStatus(state, 1)
    routed = RoutedBackend(PLAN, {"batch": backend})
    return RunDriver(DirectoryArtifactStore(tmp_path), a_record(PLAN), PLAN, routed)


def test_a_shell_is_opened_in_the_running_job_of_a_step(tmp_path: Path) -> None:
    found = driver(tmp_path, Opening(), "train-1", "wide")
    assert open_shell(found, "train").arguments == ("train-1", "0", "/bin/sh")
    assert open_shell(found, "wide", 1, "bash").arguments == ("wide", "1", "bash")


@pytest.mark.parametrize(
    ("step", "node", "what", "why"),
    [
        ("load", 0, "No jobs of 'load' are running", "load is queued"),
        ("train", 0, "2 jobs of 'train' are running", "train-0 is running, train-1 is running"),
        ("wide", 2, "has no node 2", "it has 2, counted from 0"),
    ],
)
def test_no_shell_is_opened_without_one_running_job(
    tmp_path: Path, step: str, node: int, what: str, why: str
) -> None:
    found = driver(tmp_path, Opening(), "train-0", "train-1", "wide")
    with pytest.raises(StepUnavailableError) as caught:
        open_shell(found, step, node)
    assert (what in caught.value.what, caught.value.why) == (True, why)


def test_a_service_without_shells_is_refused_with_another_way(tmp_path: Path) -> None:
    found = driver(tmp_path, ScriptedBackend(), "load")
    with pytest.raises(StepUnavailableError, match="replay the step with --pdb"):
        open_shell(found, "load")
