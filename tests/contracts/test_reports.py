"""Reports of runs on every backend."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws.report.data import SegmentKind
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from tests.support.rigs import BackendRig


def test_a_run_of_any_backend_has_a_report(rig: BackendRig) -> None:
    run = rig.pipeline("branches").submit(backend=rig.backend)
    result = run.wait()
    report = run.report_data()
    assert report.state is result.status.state
    assert {step.name for step in report.steps} == result.step_results.keys()
    assert report.origin is not None
    ended = [job for job in report.jobs if job.state is JobState.SUCCEEDED]
    assert ended
    executed = {s.name for s in report.steps if s.state is StepState.SUCCEEDED}
    for job in ended:
        assert (job.cost_usd is None) == (rig.backend == "local")
        computed = {s.step for s in job.segments if s.kind is SegmentKind.COMPUTE}
        assert job.started_at is not None and computed == executed & set(job.steps)
        assert job.log is not None and job.log.problem is None and job.log.head
    assert {asset.codec for asset in report.assets if asset.uri} != set()
    assert result.report("page.html") == Path("page.html").absolute()
    assert report.run_id in Path("page.html").read_text("utf-8")
