"""Skipped jobs and approvals in a report."""

from __future__ import annotations

import re

from flowyml_aws.planning.plan import PlannedApproval, PlannedJob
from flowyml_aws.report.collect import Reading, make_report
from flowyml_aws.report.data import RunReport, SegmentKind
from flowyml_aws.report.maps import approvals_after_lanes, lanes
from flowyml_aws.report.outline import Node, outline
from flowyml_aws.report.page import to_html
from flowyml_aws.report.tables import step_rows
from flowyml_aws.runtime.result import NO_ATTEMPT, JobResult, StepReport, StepState
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.approvals import Answer, ApprovalState, ApprovalView
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import JobView, RunStatus
from tests.support.plans import a_job, a_plan, a_record


def ran(job: PlannedJob, started_at: float) -> JobView:
    """Return a job that ran for a second."""
    result = JobResult(
        run_id="r",
        job=job.name,
        attempt=1,
        state="succeeded",
        started_at=started_at,
        ended_at=started_at + 1,
        steps=(),
        assets={},
        skipped={},
    )
    return JobView.of_result(job, JobSummary.of(result), None)


def skipped(job: PlannedJob) -> JobView:
    """Return a held job whose steps were skipped."""
    result = JobResult(
        run_id="r",
        job=job.name,
        attempt=NO_ATTEMPT,
        state="succeeded",
        started_at=9.0,
        ended_at=9.0,
        steps=(StepReport(name=job.steps[0], state=StepState.SKIPPED, reason="not taken"),),
        assets={},
        skipped={},
    )
    return JobView.of_result(job, JobSummary.of(result), None)


def a_report() -> RunReport:
    """Return the report of a run with a skipped job, and with an approval after parts of a map."""
    parts = [
        a_job(
            f"train-{number}",
            steps=(f"train[{number}]",),
            mapped=("train",),
            produces={f"train[{number}]": (f"model[{number}]",)},
        )
        for number in (1, 2)
    ]
    retrain = a_job("retrain", held=("if:good",))
    deploy = a_job("deploy", ["train-1", "train-2"], approvals=("release",))
    names = ("train-1", "train-2")
    first = PlannedApproval(after=names, inputs=("model[1]", "model[2]"), timeout_s=60.0)
    second = PlannedApproval(after=names, approvals=("release",), timeout_s=60.0)
    answer = Answer(approval="release", answer="approved", answered_at=8.0, by="ana@laptop")
    plan = a_plan(*parts, retrain, deploy)
    plan = plan.model_copy(update={"approvals": {"release": first, "audit": second}})
    views = [*(ran(job, 2.0) for job in parts), ran(deploy, 9.0)]
    status = RunStatus(
        "r",
        "p",
        "batch",
        0.0,
        jobs=(*views[:2], skipped(retrain), views[2]),
        approvals=(
            ApprovalView("release", first, ApprovalState.APPROVED, ("deploy",), answer=answer),
            ApprovalView("audit", second, ApprovalState.NOT_REACHED, ()),
        ),
    )
    return make_report(
        Reading("s3://b", a_record(plan), plan, status, {}, {}, {}, {}, {}, {}, None, (), 10.0)
    )


def nodes(report: RunReport) -> dict[str, Node]:
    approvals = approvals_after_lanes(report.approvals, report.jobs)
    return {node.name: node for node in outline(lanes(report.jobs), approvals)}


def test_a_job_whose_steps_are_all_skipped_is_skipped() -> None:
    report = a_report()
    (job,) = (job for job in report.jobs if job.name == "retrain")
    assert (job.state, job.state_name) == (JobState.SUCCEEDED, "skipped")
    assert (job.instance_type, job.planned_instance_type) == (None, "m6i.large")
    assert nodes(report)["retrain"].state == "skipped"
    assert {row["step"]: row["job_state"] for row in step_rows(report)}["retrain"] == "skipped"
    assert re.search(r'skipped">.*</span> skipped</span> <b><bdi>retrain</bdi>', to_html(report))


def test_skipped_jobs_of_a_map_are_one_skipped_lane() -> None:
    report = a_report()
    job = next(job for job in report.jobs if job.is_skipped)
    items = [
        job.model_copy(update={"name": f"t-{n}", "steps": (f"t[{n}]",), "mapped": ("t",)})
        for n in (1, 2)
    ]
    (lane,) = lanes(items)
    assert (lane.state_name, lane.steps) == ("skipped", ("t", "2 skipped"))


def test_the_graph_of_a_run_has_its_approvals() -> None:
    drawn = nodes(a_report())
    release, audit = drawn["approval release"], drawn["approval audit"]
    assert release.after == {"train ×2": ("model",)}
    assert (release.lines, release.state) == (("approved by ana@laptop",), "succeeded")
    assert audit.after == {"approval release": (), "train ×2": ()}
    assert (audit.lines, audit.state) == (("not reached",), "waiting")
    assert drawn["deploy"].after == {"train ×2": (), "approval release": ()}


def test_the_time_before_an_answer_is_no_wait_for_a_machine() -> None:
    (deploy,) = (job for job in a_report().jobs if job.name == "deploy")
    assert deploy.seconds(SegmentKind.WAITING) == 1.0
