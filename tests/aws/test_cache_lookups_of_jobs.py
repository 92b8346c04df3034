"""Jobs that look a step up in the cache, with the permissions of their roles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowyml_aws.testing import Emulator
from tests.support.rigs import BackendRig, raised_emulator

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cache-lookups")]

PROGRAM = """
from flowyml_aws import Pipeline, step

@step(outputs=["a"], cache=False)
def read():
    return 3

@step(inputs=["a"], outputs=["b"], cache="input_hash")
def add(a):
    return a + 1

pipeline = Pipeline("lookup")
pipeline.add_step(read)
pipeline.add_step(add)
"""


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with raised_emulator() as aws:
        yield aws


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
def test_a_step_behind_an_uncached_step_is_looked_up_by_its_job(
    aws: Emulator, rig: BackendRig, backend: str
) -> None:
    from flowyml_aws.cli.load import load_pipeline

    file = rig.folder / "lookup.py"
    file.write_text(PROGRAM)
    pipeline = load_pipeline(str(file))
    assert pipeline.run(backend=backend, progress=False)["b"] == 4
    assert aws.guard.denials == []
    role = {"batch": "job", "sagemaker": "sagemaker"}[backend]
    asked = {
        need.action
        for need in aws.guard.used[f"flowyml-emulator-{role}"]
        if "/cache/" in need.resource
    }
    assert "s3:GetObject" in asked
