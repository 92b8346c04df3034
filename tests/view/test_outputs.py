from __future__ import annotations

import io

from flowyml_aws.artifacts.refs import ArtifactRef
from flowyml_aws.client.run import StoredOutput
from flowyml_aws.client.savings import Savings
from flowyml_aws.planning.plan import Estimate, ExecutionPlan
from flowyml_aws.runtime.summary import JobSummary
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.losses import LostAttempts
from flowyml_aws.submission.missing_output import MissingOutput
from flowyml_aws.submission.status import JobView, RunStatus
from flowyml_aws.view.outputs import ending, outputs_table
from flowyml_aws.view.terminal import Terminal
from tests.view.test_view import JOB, PLAN

REF = ArtifactRef(uri="s3://bucket/x", sha256="0" * 64, size_bytes=1500, codec="numpy/1")
MODEL = StoredOutput("model", "fit", REF)
RESULT = JobSummary(attempt=1, state="succeeded", started_at=0.0, ended_at=360.0, steps=())
ESTIMATE = Estimate(runs=2, startup_s=60, cost_usd=0.06, wall_s=400.0, unknown=(), variants=())


def shown(*parts: object) -> list[str]:
    terminal = Terminal(file=io.StringIO())
    terminal.print(*parts)
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def a_status(state: JobState, result: JobSummary | None = None) -> RunStatus:
    view = JobView(JOB, state, 1, result=result)
    return RunStatus("r-1", "digits", "batch", 0.0, (view,), ended_at=400.0)


def test_an_output_is_a_line_with_its_kind_and_size() -> None:
    header, line = shown(outputs_table([MODEL]))
    assert header.split() == ["asset", "step", "kind", "size", "codec"]
    assert line.split() == ["model", "fit", "array", "1.5", "kB", "numpy/1"]


def test_an_output_of_another_codec_has_its_name_as_kind() -> None:
    other = StoredOutput("model", "fit", REF.model_copy(update={"codec": "onnx/2"}))
    assert shown(outputs_table([other]))[1].split()[2] == "onnx"


def test_missing_outputs_are_listed_by_cause_up_to_a_limit() -> None:
    missing = [MissingOutput(f"a{n}", "s", "not stored", "", "") for n in range(8)]
    missing.append(MissingOutput("b", "s", "skipped", "", ""))
    assert shown(outputs_table([], missing)) == [
        "not stored: a0, a1, a2, a3, a4 and 3 more",
        "skipped: b",
    ]


def test_the_end_of_a_run_shows_its_cost_and_the_expected_one() -> None:
    plan = PLAN.model_copy(update={"estimate": ESTIMATE})
    status = a_status(JobState.SUCCEEDED, RESULT)
    lines = shown(ending(status, plan, [MODEL], 4, Savings(3, 2, 100.0)))
    assert lines[-5:-1] == [
        "  and 3 earlier outputs",
        "cost: $0.0526 without starts, expected $0.06",
        "cached: 3 steps; 2 of them took 2 min in earlier runs",
        "next:",
    ]
    assert lines[-1].endswith("flowyml-aws get r-1")


def test_no_line_in_a_pipe_is_padded_to_its_width() -> None:
    terminal = Terminal(file=io.StringIO())
    terminal.print(ending(a_status(JobState.SUCCEEDED), PLAN, [MODEL], 4, None))
    assert max(map(len, terminal.file.getvalue().splitlines())) < 100  # type: ignore[attr-defined]


def test_the_cost_contains_lost_attempts() -> None:
    status = a_status(JobState.SUCCEEDED, RESULT)
    lost = RunStatus(
        status.run_id,
        status.pipeline,
        status.backend,
        0.0,
        status.jobs,
        lost={"training": LostAttempts(count=1, cost_usd=1.0)},
    )
    assert "cost: $1.053 without starts" in shown(ending(lost, PLAN, [], 0, None))


def test_the_cost_of_a_job_without_a_result_is_unknown() -> None:
    lines = shown(ending(a_status(JobState.FAILED), PLAN, [], 0, None))
    assert lines[0] == "cost: unknown"
    assert [line.partition("aws ")[2] for line in lines[2:]] == ["logs r-1 training", "resume r-1"]


def test_a_run_on_this_machine_has_no_cost() -> None:
    plan = ExecutionPlan(pipeline="digits", backend="local", region=None, prices_of=None, jobs=())
    (following, command) = shown(ending(a_status(JobState.SUCCEEDED), plan, [], 0, None))
    assert following == "next:" and command.endswith("status r-1")
