"""Reports of runs on this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from flowyml_aws.artifacts.layout import USAGE, RunLayout
from flowyml_aws.client.run import Run
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.report.data import RunReport, SegmentKind
from flowyml_aws.runtime.usage import JobUsage, Phase, PhaseKind, Series, StepUsage
from flowyml_aws.submission.record import run_ids
from tests.cli.conftest import Cli
from tests.cli.mistakes import write_file

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("rig")]

PROGRAM = """
from flowyml_aws import Pipeline, log_metric, step

@step(outputs=["rows"])
def load(count: int, api_token: str = ""):
    print("loading <b>rows</b>")
    log_metric("rows", count)
    return [{"name": "</script>", "count": count}]

@step(inputs=["rows"], outputs=["total"])
def add(rows):
    raise ValueError(f"no total of {len(rows)} rows")

@step(inputs=["total"], outputs=["page"])
def publish(total):
    return total

pipeline = Pipeline("totals", context={"count": 3})
for each in (load, add, publish):
    pipeline.add_step(each)
"""


@pytest.fixture
def failed_run(cli: Cli) -> str:
    file = write_file(PROGRAM, "totals.py")
    assert cli("run", file).code == 1
    return run_ids(DirectoryArtifactStore(Path(".flowyml/aws")))[0]


def test_a_report_has_states_inputs_values_logs_and_the_failure(failed_run: str) -> None:
    report = Run.attach(failed_run).report_data()
    assert report.state.value == "failed"
    assert {step.name: step.state.value for step in report.steps} == {
        "load": "succeeded",
        "add": "failed",
        "publish": "not run",
    }
    assert {step.name: step.inputs for step in report.steps}["add"] == ("rows",)
    (failure,) = report.failures
    assert (failure.kind, failure.message) == ("ValueError", "no total of 1 rows")
    assert "totals.py" in str(failure.traceback)
    assert failure.fixes[-1].command == f"flowyml-aws logs {failed_run} add"
    values = {asset.name: asset for asset in report.assets}
    assert values["rows"].codec == "json/1"
    assert values["rows"].preview is not None and "</script>" in values["rows"].preview.text
    assert values["page"].note == "step 'publish' was not run"
    logged = {step.name: step.logged for step in report.steps}
    assert logged["load"] is not None and logged["load"].metrics["rows"].last == 3.0
    assert logged["publish"] is None
    jobs = {job.name: job for job in report.jobs}
    assert jobs["load"].log is not None and "loading <b>rows</b>" in jobs["load"].log.head
    assert ("load", SegmentKind.COMPUTE) in [(s.step, s.kind) for s in jobs["load"].segments]
    assert jobs["add"].segments[0].kind is SegmentKind.WAITING
    assert jobs["publish"].segments == ()
    assert report.origin is not None
    assert report.origin.parameters == {"count": "3"}
    assert "pydantic" in report.origin.packages


def test_recorded_use_of_the_machine_is_in_the_report(failed_run: str) -> None:
    usage = JobUsage(
        attempt=1,
        started_at=100.0,
        period_s=1.0,
        series=(Series(name="cpu_cores", low=(0.5,), high=(1.0,)),),
        steps={"load": StepUsage(cpu_core_s=2.0, memory_peak_mib=64.0)},
        phases=(Phase(kind=PhaseKind.STEP, step="load", started_at=100.0, ended_at=101.0),),
        missing=("no GPU",),
    )
    store = DirectoryArtifactStore(Path(".flowyml/aws"))
    store.put(RunLayout(failed_run).attempt("load", 1, USAGE), usage.to_json())
    report = Run.attach(failed_run).report_data()
    (job,) = (job for job in report.jobs if job.name == "load")
    assert not job.is_estimated
    assert job.curves is not None and job.curves.series == usage.series
    assert job.curves.missing == ("no GPU",)
    assert {step.name: step.usage for step in report.steps}["load"] == usage.steps["load"]


def test_the_command_writes_a_page_or_the_figures(failed_run: str, cli: Cli) -> None:
    answer = cli("report", failed_run)
    assert answer.code == 0
    assert f"wrote the report to {Path.cwd()}/{failed_run}.html" in answer.err
    assert "no total of 1 rows" in Path(f"{failed_run}.html").read_text()
    assert cli("report", failed_run, "--data", "run.json").code == 0
    assert RunReport.model_validate_json(Path("run.json").read_bytes()).run_id == failed_run
    assert cli("report", failed_run, "--data", "run.csv", "-o", "page.html").code == 0
    assert Path("run.csv").read_text().count("\n") == 4
    assert Path("page.html").is_file()
    assert cli("report", "no-such-run").code == 2
    assert cli("report", failed_run, "--compare", failed_run, "--data", "both.json").code == 0
    comparison = RunReport.model_validate_json(Path("both.json").read_bytes()).comparison
    assert comparison is not None and comparison.first == comparison.second
    assert ("metric", "load", "rows", 3.0) in [
        (value.kind.value, value.step, value.name, value.first) for value in comparison.values
    ]
    assert cli("report", failed_run, "--compare", "no-such-run").code == 2


def test_a_page_can_be_opened(
    failed_run: str,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []

    def open_nothing(uri: str) -> bool:
        opened.append(uri)
        return False

    monkeypatch.setattr("webbrowser.open", open_nothing)
    answer = cli("report", failed_run, "--open")
    assert opened == [Path(f"{failed_run}.html").absolute().as_uri()]
    assert "warning: no browser was found" in answer.err


def test_a_result_writes_its_report(failed_run: str) -> None:
    path = Run.attach(failed_run).result().report("own.html", compare=failed_run)
    assert path == Path.cwd() / "own.html"
    assert "totals" in path.read_text()
    assert "No differences." in path.read_text()


def test_git_and_secrets_of_a_run(cli: Cli) -> None:
    git = ("git", "-c", "user.name=Ana", "-c", "user.email=ana@example.com")
    file = write_file(PROGRAM, "totals.py")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "Start"]):
        subprocess.run([*git, *arguments], check=True)
    Path(file).write_text(f"{PROGRAM}\n")
    cli("run", file, "--context", "api_token=abc")
    store = DirectoryArtifactStore(Path(".flowyml/aws"))
    origin = Run.attach(run_ids(store)[0]).report_data().origin
    assert origin is not None and origin.git is not None
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=True)
    assert origin.git.commit == commit.stdout.decode().strip()
    assert origin.git.changed_files == 1
    assert origin.parameters["api_token"] == "<not recorded: its name contains TOKEN>"
    assert "abc" not in json.dumps(origin.parameters)


def test_a_run_of_an_older_version_has_a_report_without_origin(failed_run: str) -> None:
    Path(".flowyml/aws", RunLayout(failed_run).origin).unlink()
    assert Run.attach(failed_run).report_data().origin is None
