from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from flowyml_aws.catalog.files import load_catalog
from flowyml_aws.core.job_options import JobOptions, Ulimit
from flowyml_aws.core.mounts import Mount
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import (
    Estimate,
    ExecutionPlan,
    InstanceOffer,
    PlannedJob,
    ReusedStep,
    Variant,
)
from flowyml_aws.planning.selection import select
from flowyml_aws.planning.targets import offline_targets
from flowyml_aws.runtime.result import GpuIdle, StepFailure, StepReport, StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.record import Bill, CostLimit
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.view import explanation, failure_texts, plan_table, status_table
from flowyml_aws.view.plain_lines import PlainLines
from flowyml_aws.view.run import bills
from flowyml_aws.view.terminal import Terminal

JOB = PlannedJob(
    name="training",
    group="training",
    steps=("load", "fit"),
    after=("prepare",),
    needs=Needs(vcpus=4, memory_mib=12288, gpu_model="t4", gpu_count=1),
    backend="batch",
    target="gpu-t4",
    offers=(
        InstanceOffer(instance_type="g4dn.xlarge", price_usd_hour=0.526),
        InstanceOffer(instance_type="g4dn.2xlarge", price_usd_hour=None),
    ),
    reads={"raw": "prepare", "seed": None},
    produces={"load": ("data",), "fit": ("model",)},
    stored=("model",),
    timeout_s=None,
    notes=("look here",),
)
PLAN = ExecutionPlan(
    pipeline="digits", backend="batch", region="us-east-1", prices_of="2026-07-20", jobs=(JOB,)
)
FAILURE = StepFailure(
    kind="IndexError",
    message="list index out of range",
    traceback='Traceback (most recent call last):\n  File "train.py", line 7, in fit\nIndexError\n',
)


def a_status(*steps: StepReport, state: JobState = JobState.RUNNING) -> RunStatus:
    return RunStatus("r-1", "digits", "batch", 0.0, (JobView(JOB, state, 1, None, steps),))


def rendered(*parts: object) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(*parts, sep="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_plan_shows_the_most_expensive_type_that_a_queue_may_start() -> None:
    highest = InstanceOffer(instance_type="g4dn.4xlarge", price_usd_hour=1.204)
    job = JOB.model_copy(update={"highest": highest})
    output = rendered(plan_table(PLAN.model_copy(update={"jobs": (job,)})))
    assert "price: $0.526/h, at most $1.204/h (g4dn.4xlarge)" in output
    assert "at most" not in rendered(plan_table(PLAN))


def test_a_plan_shows_machine_price_order_assets_and_notes_of_each_job() -> None:
    output = rendered(plan_table(PLAN))
    for fact in (
        "4 vCPU, 12 GiB, 1 × t4",
        "g4dn.xlarge",
        "$0.526",
        "gpu-t4",
        "load → fit",
        "waits for: prepare",
        "reads: raw (prepare), seed (external input)",
        "stores: model",
        "alternatives: g4dn.2xlarge unknown",
        "note: look here",
        "all jobs at once: $0.526 per hour (us-east-1, prices from 2026-07-20)",
    ):
        assert fact in output


def test_a_plan_shows_the_options_of_a_job() -> None:
    mount = Mount("efs", "fs-0123456789abcdef0", "/a", "/mnt/a", read_only=True)
    options = JobOptions(queue="gpu", ulimits=(Ulimit("nofile", 1, 2),), mounts=(mount,))
    job = JOB.model_copy(update={"options": options})
    output = rendered(plan_table(PLAN.model_copy(update={"jobs": (job,)})))
    assert "queue: gpu" in output
    assert "ulimits nofile: 1:2" in output
    assert "mounts /mnt/a: EFS fs-0123456789abcdef0:/a, read-only" in output


def test_a_plan_shows_the_nodes_of_a_job_with_the_price_of_all() -> None:
    offer = InstanceOffer(instance_type="g4dn.xlarge", price_usd_hour=2.104, nodes=4)
    job = JOB.model_copy(update={"needs": replace(JOB.needs, nodes=4), "offers": (offer,)})
    text = rendered(plan_table(PLAN.model_copy(update={"jobs": (job,)})))
    assert "4 nodes, each 4 vCPU, 12 GiB, 1 × t4  4 x g4dn.xlarge    $2.104" in text


def test_types_for_several_nodes_have_the_price_of_all_and_whether_they_have_efa() -> None:
    catalog = load_catalog()
    needs = Needs(vcpus=4, gpu_model="t4", gpu_count=1, nodes=2)
    selection = select(needs, offline_targets(catalog), catalog)
    text = rendered(explanation(selection))
    assert "prices are those of all 2 nodes" in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert (rows["g4dn.xlarge"][1], rows["g4dn.xlarge"][-1]) == ("$1.052", "no")
    assert rows["g4dn.8xlarge"][-1] == "yes"


def test_a_plan_on_this_machine_has_no_prices() -> None:
    local = PLAN.model_copy(
        update={"backend": "local", "jobs": (JOB.model_copy(update={"offers": ()}),)}
    )
    assert "$" not in rendered(plan_table(local))


def test_a_total_with_an_unknown_price_is_unknown() -> None:
    unknown = JOB.model_copy(update={"offers": JOB.offers[1:]})
    assert "unknown per hour" in rendered(plan_table(PLAN.model_copy(update={"jobs": (unknown,)})))


def with_estimate(**known: object) -> ExecutionPlan:
    whole: dict[str, object] = {
        "runs": 2,
        "startup_s": 180,
        "cost_usd": 0.5,
        "wall_s": 600,
        "unknown": (),
        "variants": (),
    }
    return PLAN.model_copy(update={"estimate": Estimate.model_validate({**whole, **known})})


def test_a_plan_shows_the_estimate_and_its_basis() -> None:
    job = JOB.model_copy(update={"expected_s": 5400.0, "expected_cost_usd": 0.0012})
    plan = with_estimate().model_copy(update={"jobs": (job,), "asset_bytes": {"model": 12_300_000}})
    output = rendered(plan_table(plan))
    assert "expected: 1 h 30 min, $0.00120" in output
    assert "stores: model 12.3 MB" in output
    assert (
        "expected: $0.50, 10 min (based on 2 earlier runs, with 180 s to start each job)" in output
    )


def test_other_ways_to_split_the_steps_are_compared_in_a_table() -> None:
    cut: dict[str, tuple[tuple[str, ...], ...]] = {"training": (("load",), ("fit",))}
    variants = (
        Variant(name="as grouped", jobs=1, cost_usd=2.0, wall_s=600),
        Variant(name="each step alone", jobs=2, cost_usd=3.0, wall_s=900),
        Variant(name="cheapest split", jobs=2, cost_usd=1.5, wall_s=840, cuts=cut),
    )
    output = rendered(plan_table(with_estimate(variants=variants))).splitlines()
    rows = [" ".join(line.split()) for line in output]
    assert "as grouped 1 $2.00 10 min" in rows
    assert "each step alone 2 $3.00 +50 % 15 min" in rows
    assert "cheapest split 2 $1.50 -25 % 14 min" in rows
    assert "cheapest split of training: load | fit" in rows


def test_a_variant_of_unknown_price_has_no_difference() -> None:
    variants = tuple(
        Variant(name=name, jobs=1, cost_usd=None, wall_s=600) for name in ("as grouped", "other")
    )
    rows = rendered(plan_table(with_estimate(cost_usd=None, variants=variants))).splitlines()
    assert "other 1 unknown 10 min" in [" ".join(row.split()) for row in rows]


def test_steps_that_never_ran_are_named_up_to_a_limit() -> None:
    never = tuple(f"s{number}" for number in range(8))
    output = rendered(plan_table(with_estimate(cost_usd=None, wall_s=None, unknown=never)))
    assert "unknown, because s0, s1, s2, s3, s4 and 3 more never ran" in " ".join(output.split())


def test_steps_without_a_report_are_shown_as_waiting() -> None:
    load = StepReport(name="load", state=StepState.SUCCEEDED, started_at=1.0, ended_at=3.5)
    lines = rendered(status_table(a_status(load), now=10.0)).splitlines()
    assert any("load" in line and "succeeded" in line and "2.5 s" in line for line in lines)
    assert any("fit" in line and "waiting" in line for line in lines)


def test_a_failure_shows_the_traceback_and_the_command_for_the_log() -> None:
    fit = StepReport(name="fit", state=StepState.FAILED, failure=FAILURE)
    output = rendered(*failure_texts(a_status(fit, state=JobState.FAILED)))
    assert 'File "train.py", line 7, in fit' in output
    assert "flowyml-aws logs r-1 training" in output


def test_the_reason_of_a_killed_process_is_shown_once() -> None:
    reason = "its process was ended by SIGKILL: perhaps out of memory"
    failure = StepFailure(kind="Killed", message=reason)
    fit = StepReport(name="fit", state=StepState.FAILED, failure=failure)
    status = RunStatus(
        "r-1", "digits", "batch", 0.0, (JobView(JOB, JobState.FAILED, 1, reason, (fit,)),)
    )
    output = rendered(*failure_texts(status))
    assert " ".join(output.split()).count(reason) == 1


def test_a_run_without_failed_jobs_shows_no_failures() -> None:
    assert failure_texts(a_status(state=JobState.SUCCEEDED)) == []


def test_each_change_is_printed_once_in_plain_lines() -> None:
    console = Console(file=io.StringIO(), width=100)
    lines = PlainLines(console)
    running = a_status(StepReport(name="load", state=StepState.RUNNING, started_at=1.0))
    lines.print_changes(running)
    lines.print_changes(running)
    ended = replace(running.jobs[0], state=JobState.SUCCEEDED)
    lines.print_changes(replace(running, jobs=(ended,)))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "job training: running on g4dn.xlarge",
        "  step load: running",
        "job training: succeeded on g4dn.xlarge",
    ]


def test_a_job_whose_parent_has_just_ended_is_not_printed_again() -> None:
    console = Console(file=io.StringIO(), width=100)
    lines = PlainLines(console)
    running = a_status(StepReport(name="load", state=StepState.RUNNING, started_at=1.0))
    waiting = replace(running.jobs[0], state=JobState.WAITING, reason="its pipeline runs")
    for view in (waiting, replace(waiting, reason=None)):
        lines.print_changes(replace(running, jobs=(view,)))
    assert isinstance(console.file, io.StringIO)
    assert sum("job training" in line for line in console.file.getvalue().splitlines()) == 1


def a_view(name: str, state: JobState, **facts: Any) -> JobView:
    after = facts.pop("after", ())
    update = {"name": name, "steps": (f"{name}-step",), "after": after}
    return JobView(JOB.model_copy(update=update), state, **facts)


def test_a_waiting_job_names_the_jobs_that_it_waits_for() -> None:
    views = (
        a_view("done", JobState.SUCCEEDED, attempt=1),
        a_view("fetch", JobState.RUNNING, attempt=1),
        a_view("clean", JobState.QUEUED),
        a_view("fit", JobState.WAITING, after=("done", "fetch", "clean")),
    )
    status = RunStatus("r-1", "digits", "batch", 0.0, views)
    output = " ".join(rendered(status_table(status, 1.0)).split())
    assert "fit waiting for fetch and 1 more" in output
    console = Console(file=io.StringIO(), width=100)
    PlainLines(console).print_changes(status)
    assert isinstance(console.file, io.StringIO)
    assert "job fit: waiting for done and 2 more\n" in console.file.getvalue()


def test_a_running_run_shows_the_elapsed_and_the_expected_time() -> None:
    status = a_status(StepReport(name="load", state=StepState.RUNNING, started_at=1.0))
    last = rendered(status_table(status, 30.0, expected_s=600.0)).splitlines()[-1]
    assert last == "running, 30.0 s of about 10 min"
    ended = replace(a_status(state=JobState.SUCCEEDED), ended_at=30.0)
    last = rendered(status_table(ended, 99.0, expected_s=600.0)).splitlines()[-1]
    assert last == "succeeded, 30.0 s"


def test_the_time_of_a_step_ends_with_the_run() -> None:
    load = StepReport(name="load", state=StepState.RUNNING, started_at=1.0)
    status = replace(a_status(load, state=JobState.FAILED), ended_at=3.0)
    line = next(
        line
        for line in rendered(status_table(status, 300.0)).splitlines()
        if line.startswith("  load")
    )
    assert line.split() == ["load", "failed", "2.0", "s"]


def test_the_time_of_a_step_whose_end_is_unknown_is_not_shown() -> None:
    load = StepReport(name="load", state=StepState.FAILED, started_at=1.0)
    assert "299" not in rendered(status_table(a_status(load, state=JobState.FAILED), 300.0))


def test_the_steps_of_a_blocked_job_are_not_run() -> None:
    lines = rendered(status_table(a_status(state=JobState.BLOCKED), 1.0)).splitlines()
    assert [line.split(maxsplit=1)[1].strip() for line in lines if line.startswith("  ")] == [
        "not run",
        "not run",
    ]


def test_cached_steps_have_a_row_of_their_own() -> None:
    reused = {"read": ReusedStep(produces=("raw",), run_id="r-0")}
    lines = rendered(status_table(replace(a_status(), reused=reused), 1.0)).splitlines()
    position = next(n for n, line in enumerate(lines) if line.startswith("from earlier runs"))
    assert lines[position + 1].split() == ["read", "cached"]


@pytest.mark.parametrize("width", [30, 45, 60, 79, 100])
def test_a_narrow_terminal_breaks_no_word(width: int) -> None:
    why = "Queue arn:aws:batch:us-east-1:123456789012:job-queue/gpu-t4 is DISABLED: enable it"
    status = RunStatus("r-1", "digits", "batch", 0.0, (JobView(JOB, JobState.QUEUED, 0, why),))
    terminal = Terminal(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    terminal.print(status_table(status, 1.0))
    output = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert set(f"training waits: {why} queued waiting load fit".split()) <= set(output.split())


def test_a_pipe_gets_unbroken_lines_without_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    pipe = Terminal(file=io.StringIO())
    pipe.print(Text("word " * 100, style="red"))
    assert pipe.file.getvalue() == "word " * 100 + "\n"  # type: ignore[attr-defined]


def test_no_color_switches_colors_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed() -> str:
        terminal = Terminal(file=io.StringIO(), force_terminal=True, color_system="standard")
        terminal.print(Text("failed", style="red"))
        return terminal.file.getvalue()  # type: ignore[attr-defined]

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed() == "failed\n"


def test_a_queued_job_shows_its_reason_in_the_table_and_in_lines() -> None:
    why = "Queue 'gpu-t4' is DISABLED: it takes no jobs (fix: enable it)"
    view = JobView(JOB, JobState.QUEUED, 0, why)
    status = RunStatus("r-1", "digits", "batch", 0.0, (view,))
    output = " ".join(rendered(status_table(status, 1.0)).split())
    assert f"training waits: {why}" in output
    console = Console(file=io.StringIO(), width=40)
    lines = PlainLines(console)
    lines.print_changes(status)
    lines.print_changes(status)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"job training: queued on g4dn.xlarge: {why}\n"


def test_a_completed_run_shows_billed_time_and_spot_savings() -> None:
    bill = Bill(instance_type="ml.m5.large", billed_s=30, ran_s=100, is_spot=True)
    status = RunStatus("r-1", "digits", "sagemaker", 0.0, ())
    lines = bills(replace(status, bills={"training": bill}))
    assert [line.plain for line in lines] == [
        "SageMaker bills 1 job for 30 s (70 s saved by spot capacity)"
    ]
    assert bills(status) == []
    (line,) = bills(replace(status, unbilled=("training", "report")))
    assert line.plain == "bill not reported by the service: training, report"


def test_an_outage_of_aws_is_shown_until_it_ends() -> None:
    status = a_status(StepReport(name="load", state=StepState.RUNNING))
    during = replace(status, outage="does not answer (reset): trying again for up to 10 minutes")
    assert "AWS does not answer (reset)" in rendered(status_table(during, 1.0))
    console = Console(file=io.StringIO(), width=100)
    lines = PlainLines(console)
    for each in (status, during, during, status, status):
        lines.print_changes(each)
    assert isinstance(console.file, io.StringIO)
    about_aws = [line for line in console.file.getvalue().splitlines() if line.startswith("AWS")]
    assert about_aws == [
        "AWS: does not answer (reset): trying again for up to 10 minutes",
        "AWS: answers again",
    ]


def test_a_gpu_that_is_not_used_is_reported_once_in_lines_and_in_the_table() -> None:
    idle = GpuIdle(since=0.0)
    report = StepReport(name="fit", state=StepState.RUNNING, started_at=0.0, gpu_idle=idle)
    status = a_status(report)
    console = Console(file=io.StringIO(), width=100)
    lines = PlainLines(console)
    lines.print_changes(status)
    lines.print_changes(status)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("  step fit, GPU: idle for ") == 1
    assert "GPU idle for 12 min in step fit" in rendered(status_table(status, now=720.0))


def test_the_table_shows_the_counted_cost_and_a_limit_that_was_reached() -> None:
    limit = CostLimit(limit_usd=20.0, counted_usd=12.5)
    status = replace(a_status(), cost_limit=limit)
    assert "cost limit: $12.50 of $20.00 counted" in rendered(status_table(status, now=1.0))
    reached = limit.model_copy(update={"counted_usd": 20.01, "reached_at": 1.0})
    table = rendered(status_table(replace(status, cost_limit=reached), now=1.0))
    assert "The run reached its cost limit: $20.01 of max_cost_usd $20.00" in table
    assert "flowyml-aws resume r-1 --max-cost-usd USD" in table


def test_a_plan_shows_when_a_share_of_the_cost_limit_ends_a_job() -> None:
    job = JOB.model_copy(update={"share_usd": 0.526})  # an hour, of which the start takes 3 min
    output = rendered(plan_table(PLAN.model_copy(update={"jobs": (job,)})))
    assert "ends after: 57 min ($0.526, its share of max_cost_usd)" in output
