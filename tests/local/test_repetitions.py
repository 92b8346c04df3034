"""Attempts of a job that is executed again, which several clients may start."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.local.processes import this_process
from flowyml_aws.submission.backend import JobState
from tests.support.plans import a_job, a_plan, a_record


def test_an_attempt_that_a_client_without_the_repetition_started_does_not_count(
    tmp_path: Path,
) -> None:
    """The client that recorded the repetition knew of attempt 1 only."""
    store = DirectoryArtifactStore(tmp_path)
    plan = a_plan(a_job("load"), backend="local")
    job = a_job("load", submission=1, repetitions={"load": 1}, ended_attempts=1)
    record = a_record(plan)
    layout = RunLayout(record.run_id)
    for attempt in (1, 2):
        store.create(layout.attempt("load", attempt, "claim.json"), this_process().to_json())
        store.create(layout.attempt("load", attempt, "exit.json"), b'{"code": 11}')
    backend = LocalBackend(store, record, plan, Machine(2, 4096), {})
    backend.move(a_plan(job, backend="local"))
    assert backend.statuses() == {}
    repeated = b'{"repetition": 1, ' + this_process().to_json()[1:]
    store.create(layout.attempt("load", 3, "claim.json"), repeated)
    store.create(layout.attempt("load", 3, "exit.json"), b'{"code": 0}')
    (status,) = backend.statuses().values()
    assert (status.state, status.attempt, status.lost) == (JobState.SUCCEEDED, 3, ())
