"""Folders as external inputs: every backend gives jobs the same files."""

from __future__ import annotations

from flowyml_aws import LocalData
from tests.support.rigs import BackendRig

FILES = {"a.csv": "1,2", "deep/grün.csv": "3,4"}


def test_jobs_get_a_folder_of_the_client_apart_from_the_code_and_a_rerun_is_cached(
    rig: BackendRig,
) -> None:
    folder = rig.folder / "data"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    pipeline = rig.pipeline("data_inputs")
    inputs = {"data": LocalData(folder)}
    result = pipeline.run(backend=rig.backend, inputs=inputs, progress=False)
    assert result.success, result.summary()
    assert result["files"] == FILES
    is_in_place = rig.backend == "local"
    assert ("a.csv" in result["project"]) is is_in_place
    again = pipeline.run(backend=rig.backend, inputs=inputs, progress=False)
    assert all(each.cached for each in again.step_results.values())
