from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowyml_aws.core.errors import AwsRefusedError, AwsUnavailableError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.outages import OUTAGE_S, AdvanceThroughOutages
from flowyml_aws.submission.record import RunState
from tests.submission.scripted import ScriptedBackend
from tests.support.clocks import TestClock
from tests.support.plans import a_job, a_plan, a_record

ERROR = AwsUnavailableError("Can't get the states", "the connection was reset", "wait")


@dataclass
class FailingBackend(ScriptedBackend):
    """A backend whose polls raise an error while there is one."""

    error: Exception | None = None

    def statuses(self) -> Mapping[str, JobStatus]:
        if self.error is not None:
            raise self.error
        return super().statuses()


class Stage:
    """A run of one job that is running."""

    def __init__(self, folder: Path) -> None:
        self.clock = TestClock()
        self.backend = FailingBackend({"a": JobStatus(JobState.RUNNING, 1)})
        plan = a_plan(a_job("a"))
        store = DirectoryArtifactStore(folder)
        driver = RunDriver(store, a_record(plan), plan, self.backend)
        self.advance = AdvanceThroughOutages(driver, self.clock)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "store")


def test_during_an_outage_the_last_status_is_returned_with_the_reason(stage: Stage) -> None:
    before = stage.advance()
    stage.backend.error = ERROR
    stage.clock.sleep(OUTAGE_S - 1)
    during = stage.advance()
    assert during.outage is not None and "the connection was reset" in during.outage
    assert during.jobs == before.jobs
    assert during.state is RunState.RUNNING
    stage.backend.error = None
    assert stage.advance().outage is None


def test_an_outage_that_lasts_too_long_is_an_error(stage: Stage) -> None:
    stage.advance()
    stage.backend.error = ERROR
    stage.advance()
    stage.clock.sleep(OUTAGE_S + 1)
    with pytest.raises(AwsUnavailableError):
        stage.advance()


def test_a_second_outage_has_its_own_time(stage: Stage) -> None:
    for _ in range(3):
        stage.backend.error = None
        stage.advance()
        stage.backend.error = ERROR
        stage.advance()
        stage.clock.sleep(OUTAGE_S - 1)
        assert stage.advance().outage is not None


def test_the_first_poll_must_succeed(stage: Stage) -> None:
    stage.backend.error = ERROR
    with pytest.raises(AwsUnavailableError):
        stage.advance()


def test_a_denied_call_is_an_error_at_once(stage: Stage) -> None:
    stage.advance()
    stage.backend.error = AwsRefusedError("Can't get the states", "denied", "allow it")
    with pytest.raises(AwsRefusedError):
        stage.advance()
