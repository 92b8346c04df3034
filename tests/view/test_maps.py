from __future__ import annotations

import io

from rich.console import Console

from flowyml_aws.planning.plan import ExecutionPlan, ReusedStep
from flowyml_aws.report.outline import plan_outline
from flowyml_aws.runtime.result import StepState
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.status import RunStatus
from flowyml_aws.view import failure_texts, plan_table, status_table
from flowyml_aws.view.mermaid import mermaid
from flowyml_aws.view.plain_lines import PlainLines
from tests.support.maps import a_map, a_map_job, run_of_items
from tests.support.plans import a_job, a_plan

OK, BAD, WAITING, RUNNING = (
    StepState.SUCCEEDED,
    StepState.FAILED,
    StepState.WAITING,
    StepState.RUNNING,
)


def rendered(*parts: object) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(*parts, sep="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def a_plan_of(jobs: int) -> ExecutionPlan:
    """Return a plan with a map of one item per job, and a job that reads all of them."""
    maps = [a_map_job(number, number) for number in range(jobs)]
    reads = {f"model[{number}]": f"train-{number}" for number in range(jobs)}
    best = a_job("best", after=[job.name for job in maps], reads=reads)
    return a_plan(*maps, best).model_copy(
        update={"maps": {"train": a_map(jobs, reason="at most 100 jobs, as no item has run")}}
    )


def test_a_plan_has_one_row_for_the_jobs_of_a_map_with_the_price_of_all() -> None:
    output = rendered(plan_table(a_plan_of(500)))
    assert "train ×500  1 vCPU, 2 GiB  m6i.large      $0.10, all $50.00  cpu" in output
    assert "  items: 500\n" in output
    assert "  items per job: 1 (at most 100 jobs, as no item has run)\n" in output
    assert "  waits for: train ×500\n" in output
    assert "  reads: model (500 items, train ×500)\n" in output
    assert "  reads: shards (500 items, external input)\n" in output
    assert "  stores: model (500 items)\n" in output
    assert len(output.splitlines()) < 25


def test_a_plan_says_how_many_items_must_succeed() -> None:
    plan = a_plan_of(40)
    drop = a_map(40, on_item_failure="drop", min_success=0.95)
    output = rendered(plan_table(plan.model_copy(update={"maps": {"train": drop}})))
    assert "  required: 38 of 40; failed ones are dropped\n" in output


def test_reused_items_of_a_map_are_counted() -> None:
    reused = {
        f"train[{number}]": ReusedStep(produces=(f"model[{number}]",), run_id="r-0")
        for number in range(9990)
    }
    plan = a_plan(a_map_job(9990, 9999)).model_copy(
        update={"maps": {"train": a_map(10_000)}, "reused": reused}
    )
    output = rendered(plan_table(plan))
    assert "cached, not run: 9,990 of 10,000 items of train (from run r-0)" in output
    assert "  items: 10 of 10,000\n" in output


def test_a_sheet_of_a_plan_has_one_row_for_the_jobs_of_a_map() -> None:
    page = a_plan_of(500)._repr_html_()
    assert "train ×500" in page and "train-499" not in page


def test_mermaid_has_one_box_and_one_edge_for_a_map() -> None:
    text = mermaid(a_plan_of(500))
    assert '  subgraph job0["train ×500: m6i.large, $0.10 an hour"]\n    job0_0["train"]' in text
    assert text.endswith('  input0(["shards"])\n  input0 --> job0\n  job0 -->|"model"| job1\n')


def test_the_graph_of_a_plan_has_one_node_for_a_map() -> None:
    plan = a_plan_of(500)
    nodes = plan_outline(plan, {job.name: "" for job in plan.jobs})
    assert [node.name for node in nodes] == ["input shards", "job train ×500", "job best"]
    assert nodes[2].after == {"job train ×500": ("model",)}


def test_a_status_table_has_one_row_for_a_map_and_one_for_each_mapped_step() -> None:
    states = [OK] * 17 + [BAD, RUNNING, RUNNING] + [WAITING] * 20
    output = rendered(status_table(run_of_items(states, jobs=JobState.RUNNING), 5.0))
    assert "train ×40" in output
    assert "17 of 40 items succeeded, 1 failed, 2 running, 20 waiting" in output
    assert "train[" not in output


def test_reused_items_without_a_job_are_one_row() -> None:
    output = rendered(status_table(run_of_items([], reused=40), 5.0))
    assert "train" in output and "40 of 40 items cached" in output and "train[" not in output


def test_a_status_table_says_which_items_were_dropped() -> None:
    output = rendered(status_table(run_of_items([OK, BAD], on_item_failure="drop"), 5.0))
    assert "1 of 2 items of train was dropped (train[1]: ValueError: no rows)" in output


def test_failed_items_are_named_with_commands_for_their_log_and_for_all() -> None:
    output = rendered(*failure_texts(run_of_items([BAD] * 8, jobs=JobState.FAILED)))
    assert "8 of 8 items of train failed\n  train[0]: ValueError: no rows\n" in output
    assert output.count("Traceback") == 1 and "  and 3 more\n" in output
    assert "logs r-1 'train[0]'\n" in output and "status r-1 --job train\n" in output


def lines_of(*statuses: RunStatus) -> list[str]:
    console = Console(file=io.StringIO(), width=140)
    lines = PlainLines(console)
    for status in statuses:
        lines.print_changes(status)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_progress_of_a_map_is_one_line() -> None:
    states = [OK] * 17 + [BAD] + [WAITING] * 22
    status = run_of_items(states, jobs=JobState.RUNNING, per_job=2)
    assert lines_of(status, status) == [
        "train: 17 of 40 items succeeded, 1 failed, 22 waiting, 20 of 20 jobs running"
    ]


def test_the_progress_of_many_items_is_at_most_a_line_for_each_twentieth() -> None:
    statuses = [
        run_of_items([OK] * done + [WAITING] * (200 - done), jobs=JobState.RUNNING, per_job=100)
        for done in range(200)
    ]
    lines = lines_of(*statuses, run_of_items([OK] * 200, per_job=100))
    assert len(lines) == 21
    assert lines[-1] == "train: 200 of 200 items succeeded"


def test_a_map_that_has_not_started_has_no_line() -> None:
    assert lines_of(run_of_items([WAITING] * 3, jobs=JobState.WAITING)) == []
