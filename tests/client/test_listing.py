from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.client.listing import RunFilter, list_runs
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.submission.record import ParentRun, RunOutcome, RunState
from tests.support.plans import a_job, a_plan, a_record


def test_sub_runs_are_listed_only_on_request_with_the_run_that_contains_them(
    tmp_path: Path,
) -> None:
    store = DirectoryArtifactStore(tmp_path)
    record = a_record(a_plan(a_job("train")))
    inner = record.model_copy(
        update={
            "run_id": "search-20261122-150531-3f9a1d",
            "parent": ParentRun(record.run_id, "search", 1),
        }
    )
    outcome = RunOutcome(state=RunState.SUCCEEDED, ended_at=1.0)
    for each in (record, inner):
        store.put(RunLayout(each.run_id).run, each.to_json())
        store.put(RunLayout(each.run_id).outcome, outcome.to_json())
    assert [run.run_id for run in list_runs([store], RunFilter())] == [record.run_id]
    found = list_runs([store], RunFilter(with_sub_runs=True))
    assert {run.part_of for run in found} == {None, f"{record.run_id}/search"}
