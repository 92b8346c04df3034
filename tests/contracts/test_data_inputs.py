"""Folders as external inputs: every backend gives jobs the same files."""

from __future__ import annotations

from flowyml_aws import LocalData
from tests.support.rigs import BackendRig

FILES = {"a.csv": "1,2", "deep/grün.csv": "3,4"}


def test_the_steps_of_a_job_share_a_folder_of_the_client_and_a_rerun_is_cached(
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
    path, files = result["first"]
    assert files == FILES
    assert result["second"] == [path, FILES]
    is_in_place = rig.backend == "local"
    assert (path == str(folder)) is is_in_place
    assert ("a.csv" in result["project"]) is is_in_place  # data is not part of the bundle
    again = pipeline.run(backend=rig.backend, inputs=inputs, progress=False)
    assert all(each.cached for each in again.step_results.values())
