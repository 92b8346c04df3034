"""Reading of a run's documents for a report."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from flowyml_aws.core.errors import AwsRefusedError
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.report.collect import collect
from flowyml_aws.submission.backend import JobState, JobStatus, LogLine
from flowyml_aws.submission.driver import RunDriver
from tests.submission.scripted import ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record


@dataclass
class MeetingBackend(ScriptedBackend):
    """A backend whose calls for logs return only if two of them are made at once."""

    both: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=30))

    def logs(self, job: str, cursor: str | None) -> tuple[list[LogLine], str | None]:
        self.both.wait()
        if job == "second":
            raise AwsRefusedError("The log can't be read", "access is denied", "ask")
        return [LogLine(job, f"a line of {job}")], None


def test_logs_are_read_at_once_and_a_missing_one_has_its_reason(tmp_path: Path) -> None:
    plan = a_plan(a_job("first"), a_job("second"))
    backend = MeetingBackend({name: JobStatus(JobState.RUNNING, 1) for name in ("first", "second")})
    driver = RunDriver(DirectoryArtifactStore(tmp_path), a_record(plan), plan, backend)
    first, second = collect(driver, now=60.0).jobs
    assert first.log is not None and first.log.head == "a line of first"
    assert second.log is not None
    assert second.log.problem == "The log can't be read: access is denied"
