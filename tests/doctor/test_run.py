from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.findings import Finding
from flowyml_aws.doctor.run import examine_run
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.submission.backend import JobState, JobStatus
from flowyml_aws.submission.driver import RunDriver
from tests.submission.scripted import ScriptedBackend
from tests.support.plans import a_job, a_plan, a_record


@dataclass
class DiagnosingBackend(ScriptedBackend):
    """A backend with a list of successive diagnoses."""

    diagnoses: list[Mapping[str, Sequence[Finding]]] = field(default_factory=list)
    pauses: int = 0

    def pause(self) -> None:
        self.pauses += 1

    def diagnose(self) -> Mapping[str, Sequence[Finding]]:
        return self.diagnoses.pop(0)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return DirectoryArtifactStore(tmp_path)


RUN = "my-pipeline-20261122-150531-3f9a1c"
PASSING = Finding("no-type-fits", "error", "passing", "so", "do")
LASTING = Finding("queue-disabled", "error", "lasting", "so", "do")


def findings(store: ArtifactStore, backend: DiagnosingBackend) -> dict[str, list[tuple[str, str]]]:
    plan = a_plan(a_job("first"), a_job("second", after=["first"]))
    driver = RunDriver(store, a_record(plan), plan, backend)
    return {
        report.check: [(finding.code, finding.level) for finding in report.findings]
        for report in examine_run(driver)
    }


def queued(reason: str | None = None) -> dict[str, JobStatus]:
    return {"first": JobStatus(JobState.QUEUED, 0, reason), "second": JobStatus(JobState.WAITING)}


def test_a_run_that_was_never_submitted_waits_for_a_client(store: ArtifactStore) -> None:
    assert findings(store, DiagnosingBackend({})) == {
        "first": [("no-client", "warning")],
        "second": [("job-waiting", "ok")],
    }


def test_a_finding_of_only_one_of_two_diagnoses_is_dropped(store: ArtifactStore) -> None:
    backend = DiagnosingBackend(
        queued(), diagnoses=[{"first": (PASSING, LASTING)}, {"first": (LASTING,)}]
    )
    assert findings(store, backend) == {
        "first": [("queue-disabled", "error")],
        "second": [("job-waiting", "ok")],
    }
    assert backend.pauses == 1


def test_a_diagnosis_without_findings_is_not_repeated(store: ArtifactStore) -> None:
    backend = DiagnosingBackend(queued(), diagnoses=[{"first": ()}])
    assert findings(store, backend)["first"] == [("job-queued", "ok")]
    assert backend.pauses == 0


@pytest.mark.parametrize("state", [JobState.STARTING, JobState.RUNNING])
def test_a_job_that_has_started_is_not_diagnosed(store: ArtifactStore, state: JobState) -> None:
    backend = DiagnosingBackend(
        {"first": JobStatus(state, 1), "second": JobStatus(JobState.WAITING)}
    )
    assert findings(store, backend)["first"] == [("job", "ok")]


def test_the_reason_that_the_backend_reports_is_a_warning(store: ArtifactStore) -> None:
    backend = DiagnosingBackend(queued("waiting for the quota"), diagnoses=[{"first": ()}])
    assert findings(store, backend)["first"] == [("job-held", "warning")]


def test_a_failed_job_is_an_error_and_jobs_after_it_are_notes(store: ArtifactStore) -> None:
    failed = JobStatus(JobState.FAILED, 1, "Host EC2 terminated")
    backend = DiagnosingBackend({"first": failed, "second": JobStatus(JobState.WAITING)})
    assert findings(store, backend) == {
        RUN: [("run-failed", "note")],
        "first": [("job-failed", "error")],
        "second": [("job-ended", "note")],
    }
