from __future__ import annotations

from flowyml_aws.report.data import (
    ExpansionEntry,
    FailureEntry,
    Fix,
    JobEntry,
    RunReport,
    StepEntry,
)
from flowyml_aws.report.expanded import with_sub_reports
from flowyml_aws.report.page import to_html
from flowyml_aws.report.tables import step_rows
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import RunState


def a_job(name: str, cost_usd: float | None = 1.0, **edges: tuple[str, ...]) -> JobEntry:
    return JobEntry(
        name=name,
        steps=(name,),
        after=tuple(edges),
        edges=edges,
        state=JobState.SUCCEEDED,
        attempt=1,
        backend="batch",
        target="cpu",
        vcpus=1,
        memory_mib=2048,
        instance_type="m6i.large",
        cost_usd=cost_usd,
    )


def a_report(run_id: str, *jobs: JobEntry, **facts: object) -> RunReport:
    """Return a report in which each job produces an asset with the name of the job in capitals."""
    members = {
        "run_id": run_id,
        "pipeline": run_id,
        "backend": "batch",
        "store": "s3://bucket",
        "state": RunState.SUCCEEDED,
        "created_at": 0.0,
        "ended_at": 10.0,
        "made_at": 20.0,
        "cost_usd": sum(job.cost_usd or 0.0 for job in jobs),
        "expected_cost_usd": 1.0,
        "expected_s": 5.0,
        "jobs": jobs,
        "steps": tuple(
            StepEntry(
                name=job.name,
                job=job.name,
                state=StepState.SUCCEEDED,
                outputs=("MODEL",) if job.name in ("search", "refine") else (job.name.upper(),),
            )
            for job in jobs
        ),
    }
    return RunReport(**{**members, **facts})  # type: ignore[arg-type]


def entry(step: str, run_id: str) -> ExpansionEntry:
    return ExpansionEntry(step=step, run_id=run_id, state=RunState.SUCCEEDED)


def the_whole() -> RunReport:
    """Return the report of a search with a dynamic step in the pipeline of a dynamic step."""
    innermost = a_report("polish", a_job("model"))
    inner = a_report(
        "trials",
        a_job("train"),
        a_job("refine", train=("TRAIN",)),
        expansions=(entry("refine", "polish"),),
    )
    inner = with_sub_reports(inner, {"refine": innermost})
    outer = a_report(
        "outer",
        a_job("configure"),
        a_job("search", configure=("CONFIGURE",)),
        a_job("report", search=("MODEL",)),
        expansions=(entry("search", "trials"),),
    )
    return with_sub_reports(outer, {"search": inner})


def test_the_graph_leads_through_the_jobs_of_sub_runs() -> None:
    edges = {job.name: job.edges for job in the_whole().jobs}
    assert edges == {
        "configure": {},
        "search": {"configure": ("CONFIGURE",)},
        "search/train": {"search": ()},
        "search/refine": {"search/train": ("TRAIN",)},
        "search/refine/model": {"search/refine": ()},
        "report": {"search/refine/model": ("MODEL",)},
    }


def test_costs_of_sub_runs_are_counted_once_and_an_unknown_one_is_unknown() -> None:
    whole = the_whole()
    assert whole.cost_usd == sum(job.cost_usd or 0.0 for job in whole.jobs) == 6.0
    assert whole.expected_cost_usd == 3.0
    assert whole.expected_s is None
    outer = a_report("outer", a_job("search"))
    unknown = a_report("trials", a_job("train", None), cost_usd=None)
    assert with_sub_reports(outer, {"search": unknown}).cost_usd is None
    reused = a_report("trials", cost_usd=None, expected_cost_usd=None)
    whole = with_sub_reports(outer, {"search": reused})
    assert (whole.cost_usd, whole.expected_cost_usd) == (1.0, 1.0)


def test_the_table_has_a_row_for_each_step_of_a_sub_run_with_its_job() -> None:
    rows = {row["step"]: row for row in step_rows(the_whole())}
    assert rows["search/refine/model"]["job"] == "search/refine/model"
    assert rows["search/train"]["job_instance_type"] == "m6i.large"


def test_the_page_names_the_sub_runs() -> None:
    page = to_html(the_whole())
    assert "Pipeline of search/refine" in page
    assert "run polish, succeeded" in page
    assert "search/train" in page


def test_a_pipeline_that_was_not_started_is_on_the_page() -> None:
    refused = ExpansionEntry(step="search", run_id="outer", refusal="it costs too much")
    assert "not started" in to_html(a_report("outer", a_job("search"), expansions=(refused,)))


def test_a_failure_in_a_sub_run_is_continued_by_the_run_that_contains_it() -> None:
    def failure(job: str, run_id: str) -> FailureEntry:
        commands = (f"flowyml-aws resume {run_id}", f"flowyml-aws logs {run_id} {job}")
        fixes = tuple(Fix(text="Try:", command=command) for command in commands)
        return FailureEntry(job=job, step=job, reason="no rows", traceback="Trace", fixes=fixes)

    inner = a_report("trials", a_job("train"), failures=(failure("train", "trials"),))
    outer = a_report("outer", a_job("search"), failures=(failure("search", "outer"),))
    of_step, of_job = with_sub_reports(outer, {"search": inner}).failures
    assert (of_step.job, of_step.traceback) == ("search", None)
    assert (of_job.job, of_job.traceback) == ("search/train", "Trace")
    assert [fix.command for fix in of_job.fixes] == [
        "flowyml-aws resume outer",
        "flowyml-aws logs trials train",
    ]
