from __future__ import annotations

from pathlib import Path

from flowyml_aws.artifacts.layout import EVENTS, RunLayout
from flowyml_aws.artifacts.values import save_value
from flowyml_aws.doctor.prove.cleanup import remove_runs
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.result import AttemptEvents


def test_the_values_of_a_job_that_was_ended_are_removed(tmp_path: Path) -> None:
    store = DirectoryArtifactStore(tmp_path)
    ref = save_value(store, "a", "of the proof")
    other = save_value(store, "b", "of another run")
    events = AttemptEvents(attempt=1, steps=(), assets={"a": ref})
    store.put(RunLayout("proof").attempt("job", 1, EVENTS), events.to_json())
    remove_runs(store, "doctor-prove", ["proof"], since=0.0)
    assert [entry.key for entry in store.walk("")] == [other.key]
