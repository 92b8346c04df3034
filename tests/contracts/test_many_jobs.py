"""Many jobs at once on every backend; the run is cancelled after the first jobs succeed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowyml_aws import Run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.testing import Capacity, Emulator
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("many-jobs")]

AT_ONCE = 2


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with raised_emulator(capacity=Capacity(vcpus=AT_ONCE, memory_mib=AT_ONCE * 2048)) as aws:
        yield aws


@pytest.mark.parametrize(
    ("size", "jobs"),
    [("sixty", 60), pytest.param("three_hundred", 300, marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize("backend", ["local", "batch", "sagemaker"])
def test_many_jobs_are_submitted_followed_and_cancelled(
    aws: Emulator, tmp_path: Path, backend: str, size: str, jobs: int
) -> None:
    settings = {**aws.environment, "FLOWYML_AWS_POLL_S": "0.5"}
    rig = BackendRig(backend, tmp_path / "project", settings)
    with rig.entered():
        pipeline = rig.pipeline(f"wide:{size}")
        for offer in pipeline.plan(backend="sagemaker").jobs[0].offers:
            aws.set_quota(offer.instance_type, AT_ONCE)
        run = pipeline.submit(backend=backend, cache=False)

        def states() -> Counter[JobState]:
            return Counter(view.state for view in run.advance().jobs)

        eventually(lambda: states()[JobState.SUCCEEDED] >= AT_ONCE, "the first jobs to succeed")
        seen = states()
        assert sum(seen.values()) == jobs + 1
        assert seen[JobState.FAILED] == seen[JobState.BLOCKED] == 0
        Run.attach(run.id).cancel()
        result = run.wait()
        assert result.state == "cancelled"
        ended = Counter(view.state for view in result.status.jobs)
        assert ended.keys() == {JobState.SUCCEEDED, JobState.CANCELLED}
        eventually(lambda: not aws.job_processes(), "the end of every job")
