"""Commands for runs on this machine."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowyml_aws import __version__
from tests.cli.conftest import Cli
from tests.cli.mistakes import BAD_DATA, MISTAKE, assert_error
from tests.support.rigs import BackendRig, eventually

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[BackendRig, str]:
    """A finished run for all tests that only read it."""
    rig = BackendRig("local", tmp_path_factory.mktemp("kinds") / "project")
    with rig.entered():
        result = rig.pipeline("kinds").run(progress=False)
    assert result.success, result.summary()
    return rig, result.run_id


@pytest.fixture
def run_id(kinds: tuple[BackendRig, str]) -> Iterator[str]:
    rig, run_id = kinds
    with rig.entered():
        yield run_id


def test_get_with_no_pickle_refuses_pickled_values(run_id: str, cli: Cli, tmp_path: Path) -> None:
    refused = cli("get", run_id, "odd", "--no-pickle", "--out", str(tmp_path / "odd"))
    assert refused.code != 0
    assert "The value of asset 'odd' was not read" in refused.err
    assert not (tmp_path / "odd").exists()
    assert cli("get", run_id, "text", "--no-pickle").out == "hello hello\n"
    assert cli("get", run_id, "odd").code == 0


def test_run_prints_a_line_for_each_change_and_for_the_end(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", str(rig.write("kinds")))
    assert answer.code == 0
    assert "  step write: succeeded" in answer.err
    assert "job plain: succeeded" in answer.err
    first, *_, folder, following, command = answer.out.splitlines()
    assert "succeeded after" in first
    assert folder.split() == ["folder", "collect", "folder", "2.0", "kB", "directory/1"]
    assert following == "next:"
    assert command.endswith(f"flowyml-aws get {answer.out.split()[1].rstrip(':')} folder")


def test_the_end_of_a_run_shows_what_the_cache_has_saved(rig: BackendRig, cli: Cli) -> None:
    file = str(rig.write("kinds"))
    assert "cached:" not in cli("run", file).out
    (line,) = (line for line in cli("run", file).out.splitlines() if "cached" in line)
    assert line.startswith("cached: 8 steps; took 0.")


def test_the_end_of_a_failed_run_says_how_to_continue(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", str(rig.write("failing")), "-c", trace(rig))
    run_id = answer.out.split()[1].rstrip(":")
    commands = [
        line.split(maxsplit=1)[1] for line in answer.out.partition("next:")[2].splitlines() if line
    ]
    assert commands[0].startswith(f"logs {run_id} ")
    assert commands[1] == f"resume {run_id}"


def test_context_values_are_json_or_otherwise_strings(rig: BackendRig, cli: Cli) -> None:
    file = str(rig.write("kinds"))
    answer = cli("run", file, "--context", "times=3", "-c", "greeting=good day", "--json")
    assert answer.code == 0
    assert cli("get", answer.facts["run_id"], "text").out == "good day good day good day\n"


def test_run_with_json_prints_one_document_whatever_the_file_prints(
    rig: BackendRig, cli: Cli
) -> None:
    file = rig.write("kinds")
    file.write_text(file.read_text() + "print('imported')\n")
    answer = cli("run", str(file), "--json")
    assert (answer.facts["success"], answer.facts["state"]) == (True, "succeeded")
    assert answer.facts["steps"]["write"]["success"] is True
    assert "imported" in answer.err


def test_a_failed_run_exits_with_1_and_the_users_traceback(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", str(rig.write("branches")), "-c", trace(rig))
    assert answer.code == 1
    assert 'raise ValueError(f"no luck with {clean} – ü")' in answer.err
    assert "branches.py" in answer.err
    assert "flowyml-aws logs every-way-" in answer.err
    run_id = next(iter(Path(".flowyml/aws/runs").iterdir())).name
    status = cli("status", run_id)
    assert status.code == 0
    assert "ValueError: no luck with [1, 2, 3] – ü" in status.out
    assert cli("attach", run_id).code == 1


def trace(rig: BackendRig) -> str:
    return f"trace={rig.trace}"


def test_a_pipeline_is_named_after_the_file(rig: BackendRig, cli: Cli) -> None:
    answer = cli("run", f"{rig.write('crowd')}:greedy", "-c", trace(rig))
    assert answer.code == 0
    assert rig.ran() == ["a begins", "a ends", "b begins", "b ends"]
    assert "job b: waiting: other jobs use the vCPUs or the memory of this machine" in answer.err


def test_a_function_that_returns_a_pipeline_can_be_named(rig: BackendRig, cli: Cli) -> None:
    answer = cli("plan", f"{rig.write('wide')}:make", "--backend", "local", "--json")
    assert len(answer.facts["jobs"]) == 101


def test_a_detached_run_continues_without_the_command(rig: BackendRig, cli: Cli) -> None:
    code, out, err = rig.command("run", str(rig.write("waiting")), "-c", trace(rig), "--detach")
    assert code == 0, err
    run_id, hint = out.splitlines()
    assert hint.endswith(f"flowyml-aws attach {run_id}")
    Path(f"{rig.trace}.go").touch()
    eventually(lambda: cli("status", run_id, "--json").facts["ended_at"], "the end")
    assert cli("get", run_id, "d").out == "it is 42\n"
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_a_run_that_is_detached_from_another_folder_continues(
    rig: BackendRig, cli: Cli, tmp_path: Path
) -> None:
    file = rig.write("waiting")
    Path(f"{rig.trace}.go").touch()
    elsewhere = BackendRig("local", tmp_path / "elsewhere")
    _, out, _ = elsewhere.command("run", str(file), "-c", trace(rig), "--detach", "--json")
    run_id = json.loads(out)["run_id"]
    eventually(lambda: cli("status", run_id, "--json").facts["ended_at"], "the end")
    assert cli("get", run_id, "d").out == "it is 42\n"


def test_plan_shows_jobs_and_prices_without_an_account(rig: BackendRig, cli: Cli) -> None:
    answer = cli("plan", str(rig.write("needy")), "--backend", "batch")
    assert answer.code == 0
    assert "g4dn.xlarge" in answer.out
    assert "no account is set up" in answer.out
    assert not Path(".flowyml").exists()


def test_plan_with_json_prints_the_plan(rig: BackendRig, cli: Cli) -> None:
    facts = cli("plan", str(rig.write("needy")), "--backend", "batch", "--json").facts
    (job,) = facts["jobs"]
    assert (facts["backend"], job["needs"]["gpu_model"]) == ("batch", "t4")


def test_package_lists_the_bundled_files(rig: BackendRig, cli: Cli) -> None:
    file = rig.write("kinds")
    Path("data.bin").write_bytes(b"x" * 1234)
    Path(".flowymlignore").write_text("data.bin\n")
    answer = cli("package", str(file))
    assert answer.code == 0
    assert "kinds.py" in answer.out and "data.bin" not in answer.out
    facts = cli("package", str(file), "--json").facts
    assert facts["files"]["kinds.py"] == file.stat().st_size
    assert facts["root"] == str(rig.folder)
    assert cli("package", str(file), "--json").facts["sha256"] == facts["sha256"]


def test_runs_lists_runs_with_their_states_newest_first(rig: BackendRig, cli: Cli) -> None:
    assert "no runs yet" in cli("runs").out
    file = str(rig.write("waiting"))
    Path(f"{rig.trace}.go").touch()
    first = cli("run", file, "-c", trace(rig), "--json").facts["run_id"]
    second = cli("run", file, "-c", trace(rig), "--json").facts["run_id"]
    facts = cli("runs", "--json").facts
    assert [fact["run_id"] for fact in facts] == [second, first]
    assert {(fact["pipeline"], fact["backend"], fact["state"]) for fact in facts} == {
        ("waiting", "local", "succeeded")
    }
    lines = cli("runs").out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", second, first]
    assert len({line.index("succeeded") for line in lines[1:]}) == 1


def test_runs_are_filtered(rig: BackendRig, cli: Cli) -> None:
    assert cli("run", str(rig.write("kinds"))).code == 0
    assert cli("run", str(rig.write("branches")), "-c", trace(rig)).code == 1

    def listed(*options: str) -> list[tuple[str, str]]:
        return [(run["pipeline"], run["state"]) for run in cli("runs", "--json", *options).facts]

    kinds, branches = ("kinds", "succeeded"), ("every way", "failed")
    assert listed() == listed("--since", "1h") == [branches, kinds]
    assert listed("--limit", "1") == [branches]
    assert listed("--limit", "1", "--state", "succeeded") == [kinds]
    assert listed("--state", "failed") == [branches]
    assert listed("--state", "failed", "--state", "succeeded") == [branches, kinds]
    assert listed("--pipeline", "kinds") == [kinds]
    assert listed("--pipeline", "kind") == listed("--since", "0s") == []
    assert cli("runs", "--pipeline", "kind").out == "no run matches\n"


def test_a_filter_that_is_malformed_is_a_mistake(rig: BackendRig, cli: Cli) -> None:
    assert_error(cli("runs", "--state", "fail"), MISTAKE, "Unknown --state", "'failed'")
    assert_error(cli("runs", "--since", "yesterday"), MISTAKE, "Invalid --since", "30d")


def test_runs_warns_about_a_run_that_waits_for_a_client(rig: BackendRig, cli: Cli) -> None:
    run = rig.pipeline("waiting").submit(backend="local")
    run.leave()
    try:
        (facts,) = [fact for fact in cli("runs", "--json").facts if fact["run_id"] == run.id]
        assert (facts["state"], facts["needs_client"]) == ("running", True)
        assert f"flowyml-aws attach {run.id}" in cli("runs").out
        assert f"flowyml-aws attach {run.id}" in cli("status", run.id).out
    finally:
        run.cancel()
    assert "attach" not in cli("runs").out


def test_runs_omits_a_run_without_a_record(run_id: str, cli: Cli) -> None:
    half = Path(".flowyml/aws/runs/half-20261122-150531-3f9a1c")
    half.mkdir(exist_ok=True)
    (half / "plan.json").write_text("{}")
    assert [fact["run_id"] for fact in cli("runs", "--json").facts] == [run_id]


@pytest.mark.parametrize("document", ["run.json", "outcome.json"])
def test_runs_lists_a_run_whose_documents_are_damaged(run_id: str, cli: Cli, document: str) -> None:
    broken = Path(".flowyml/aws/runs/broken-20261122-150531-3f9a1c")
    shutil.copytree(Path(".flowyml/aws/runs") / run_id, broken)
    (broken / document).write_text('{"version": 1, "run_')
    facts = {fact["run_id"]: fact["state"] for fact in cli("runs", "--json").facts}
    shown = cli("runs")
    shutil.rmtree(broken)
    assert facts == {run_id: "succeeded", broken.name: "unreadable"}
    assert shown.code == 0
    assert "unreadable" in shown.out


def test_status_shows_jobs_and_steps(run_id: str, cli: Cli) -> None:
    answer = cli("status", run_id)
    assert answer.code == 0
    assert "plain" in answer.out and "compute" in answer.out
    facts = cli("status", run_id, "--json").facts
    assert (facts["run_id"], facts["state"]) == (run_id, "succeeded")
    (job,) = facts["jobs"]
    assert {step["state"] for step in job["steps"]} == {"succeeded"}


def test_attach_to_an_ended_run_reports_its_result(run_id: str, cli: Cli) -> None:
    answer = cli("attach", run_id, "--json")
    assert (answer.code, answer.facts["state"]) == (0, "succeeded")


def test_logs_prints_the_output_of_a_job(run_id: str, cli: Cli) -> None:
    assert "hello 2" in cli("logs", run_id).out.splitlines()
    assert "hello 2" in cli("logs", run_id, "plain", "--follow").out.splitlines()


def test_logs_with_json_prints_one_document_per_line(run_id: str, cli: Cli) -> None:
    lines = [json.loads(line) for line in cli("logs", run_id, "--json").out.splitlines()]
    assert {"job": "plain", "time_ms": None, "message": "hello 2"} in lines


def test_logs_of_several_jobs_start_each_line_with_the_job(rig: BackendRig, cli: Cli) -> None:
    run_id = cli("run", str(rig.write("noisy")), "--json").facts["run_id"]
    out = cli("logs", run_id).out.splitlines()
    assert "shout | line 9 ✓" in out and "whisper | heard 10 – grüße" in out
    assert "line 9 ✓" in cli("logs", run_id, "shout").out.splitlines()


def test_following_the_logs_of_a_run_without_a_client_starts_nothing(
    rig: BackendRig, cli: Cli
) -> None:
    run = rig.pipeline("waiting").submit()
    with rig.client("-m", "flowyml_aws", "logs", run.id, "first", "--follow") as follower:
        while "waiting" not in follower.stdout.readline():
            pass
        Path(f"{rig.trace}.go").touch()
        follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert rig.ran() == ["begin", "wait"]


def test_following_the_logs_of_an_interrupted_run_says_how_to_continue_it(rig: BackendRig) -> None:
    arguments = ["run", str(rig.write("waiting")), "-c", trace(rig)]
    with rig.client("-m", "flowyml_aws", *arguments) as client:
        eventually(lambda: "wait" in rig.ran(), "the first job waiting")
        client.send_signal(signal.SIGINT)
        _, output = client.communicate(timeout=60)
    run_id = output.split()[1]
    assert f"detached from run {run_id}: its local jobs were stopped" in output
    with rig.client("-m", "flowyml_aws", "logs", run_id, "--follow") as follower:
        hint = follower.stderr.readline()
    assert hint.startswith("no job is running; continue the run with: ")
    assert hint.endswith(f"flowyml-aws attach {run_id}\n")


def test_cancel_cancels_a_run(rig: BackendRig, cli: Cli) -> None:
    run = rig.pipeline("waiting").submit()
    answer = cli("cancel", run.id)
    assert (answer.code, answer.out) == (0, f"{run.id}: cancelled\n")
    assert cli("cancel", run.id, "--json").facts["state"] == "cancelled"
    assert cli("attach", run.id).code == 1


def test_get_prints_strings_json_and_paths(run_id: str, cli: Cli) -> None:
    assert cli("get", run_id, "text").out == "hello hello\n"
    assert json.loads(cli("get", run_id, "facts").out) == {
        "times": 2,
        "ok": True,
        "names": ["ä"],
    }
    assert Path(cli("get", run_id, "report").out.strip()).read_text() == "all is well"
    assert json.loads(cli("get", run_id, "split").out) == {"low": -2, "high": 2}


def test_get_without_a_name_lists_the_outputs(run_id: str, cli: Cli) -> None:
    rows = [" ".join(line.split()) for line in cli("get", run_id).out.splitlines()]
    assert rows[0] == "asset step kind size codec"
    assert "text write string 11 bytes text/1" in rows
    assert "folder collect folder 2.0 kB directory/1" in rows
    facts = {fact["asset"]: fact for fact in cli("get", "latest", "--json").facts}
    assert (facts["low"]["step"], facts["low"]["codec"]) == ("split", "json/1")
    assert_error(cli("get", run_id, "--out", "x"), MISTAKE, "--out without the name")


def test_get_says_why_there_is_no_output(rig: BackendRig, cli: Cli) -> None:
    run = rig.pipeline("waiting").submit()
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    assert_error(cli("get", run.id, "b"), MISTAKE, "not made yet", "'wait' is running", "attach")
    assert_error(cli("get", run.id, "c"), MISTAKE, "not made yet", "step 'double' is waiting")
    assert_error(cli("get", run.id, "a"), MISTAKE, "'a' of run", "is not stored", "in memory")
    assert "not made yet: b, c, d" in cli("get", run.id).out.splitlines()
    Path(f"{rig.trace}.go").touch()
    run.wait()
    assert cli("get", run.id, "c").out == "42\n"
    in_memory = cli("get", run.id, "begin")
    assert_error(in_memory, MISTAKE, "not stored", '@step(cache="code_hash")', "--checkpoint-steps")
    assert_error(cli("get", run.id, "begins"), MISTAKE, "no output 'begins'", "mean 'begin'")
    assert "not stored: a" in cli("get", run.id).out.splitlines()


def test_get_reads_an_asset_of_a_group_that_was_stored(rig: BackendRig, cli: Cli) -> None:
    Path(f"{rig.trace}.go").touch()
    file = str(rig.write("waiting"))
    assert cli("run", file, "-c", trace(rig), "--checkpoint-steps").code == 0
    assert cli("get", "latest", "a").out == "20\n"


def test_get_of_what_a_failed_run_did_not_produce(rig: BackendRig, cli: Cli) -> None:
    assert cli("run", str(rig.write("branches")), "-c", trace(rig)).code == 1
    run_id = cli("runs", "--json").facts[0]["run_id"]
    assert_error(cli("get", run_id, "bad"), MISTAKE, "was not produced", f"resume {run_id}")
    assert_error(cli("get", run_id, "worse"), MISTAKE, "'after_failure' was not run")
    assert_error(cli("get", run_id, "extra"), MISTAKE, "was skipped", "condition")
    lines = cli("get", run_id).out.splitlines()
    assert "skipped: extra, more" in lines
    assert "not produced: bad, worse, downstream_of_failure, never, nothing" in lines


def test_get_writes_each_kind_of_value_in_its_format(run_id: str, cli: Cli, tmp_path: Path) -> None:
    def download(asset: str) -> Path:
        out = tmp_path / asset
        answer = cli("get", run_id, asset, "--out", str(out))
        assert (answer.code, answer.out) == (0, "")
        assert f"to {out}" in answer.err
        return out

    assert download("text").read_text() == "hello hello"
    assert json.loads(download("facts").read_text())["names"] == ["ä"]
    assert download("raw").read_bytes() == b"\x00\xff"
    assert np.load(download("matrix")).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert pickle.loads(download("odd").read_bytes()) == {1j}
    assert download("report").read_text() == "all is well"
    assert (download("folder") / "a.txt").read_text() == "a"


def test_get_writes_a_file_into_a_folder_under_its_own_name(
    run_id: str, cli: Cli, tmp_path: Path
) -> None:
    assert cli("get", run_id, "report", "--out", str(tmp_path)).code == 0
    assert (tmp_path / "report.txt").read_text() == "all is well"


def test_get_with_json_prints_the_locations_of_the_values(run_id: str, cli: Cli) -> None:
    facts = cli("get", run_id, "text", "--json").facts
    assert facts["text"]["uri"].startswith("file:///")
    assert cli("get", run_id, "split", "--json").facts.keys() == {"low", "high"}


def test_get_reads_a_small_object_with_a_huge_value_only_on_request(
    rig: BackendRig, cli: Cli, tmp_path: Path
) -> None:
    result = rig.pipeline("kinds").run(progress=False)
    (document,) = Path(".flowyml/aws/runs").glob("*/jobs/plain/result.json")
    facts = json.loads(document.read_text())
    frames = {"size_bytes": 2**31, "frames": [17], "item_bytes": 1}
    facts["assets"]["text"]["compression"] = frames
    document.write_text(json.dumps(facts))
    out = tmp_path / "text"
    answer = cli("get", result.run_id, "text", "--out", str(out))
    assert_error(answer, BAD_DATA, "'text' was not read", "2,147,483,648", "--large")
    assert not out.exists()
    # With the option, the digest does not match.
    answer = cli("get", result.run_id, "text", "--out", str(out), "--large")
    assert "was not read: it is unusually large" not in answer.err


def test_get_to_a_path_that_cannot_be_written_is_a_mistake(
    run_id: str, cli: Cli, tmp_path: Path
) -> None:
    answer = cli("get", run_id, "text", "--out", str(tmp_path / "no" / "such" / "folder"))
    assert answer.code == 2
    assert "No such file or directory" in answer.err


@pytest.mark.usefixtures("new_pythons")
def test_python_m_runs_the_same_program(rig: BackendRig) -> None:
    code, out, _ = rig.command("--help")
    assert code == 0
    assert "attach" in out


def test_status_of_a_running_run(rig: BackendRig, cli: Cli) -> None:
    run = rig.pipeline("waiting").submit()
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    facts = cli("status", run.id, "--json").facts
    assert (facts["state"], facts["ended_at"]) == ("running", None)
    assert [job["state"] for job in facts["jobs"]] == ["running", "waiting", "waiting"]
    run.cancel()


def test_environment_variables_are_options_of_plan_and_run(rig: BackendRig, cli: Cli) -> None:
    file = str(rig.write("environment"))
    options = ["--env", "FROM_RUN=a=b", "--env", "FROM_SETTING=", "--json"]
    jobs = {job["name"]: job["environment"] for job in cli("plan", file, *options).facts["jobs"]}
    common = {"FROM_PIPELINE": "pipeline", "FROM_RUN": "a=b", "FROM_SETTING": ""}
    assert jobs["g"] == {**common, "FROM_STEP": "step"}
    assert jobs["overrides"] == {**common, "FROM_RUN": "step"}
    assert (
        "environment: FROM_PIPELINE=pipeline, FROM_RUN=a=b" in cli("plan", file, *options[:2]).out
    )
    answer = cli("run", file, *options)
    assert answer.code == 0
    second = json.loads(cli("get", answer.facts["run_id"], "second").out)
    assert (second["FROM_RUN"], second["FROM_STEP"]) == ("a=b", "step")


def test_resume_continues_a_failed_run_with_other_resources(rig: BackendRig, cli: Cli) -> None:
    failed = cli("run", str(rig.write("resuming")), "-c", f"trace={rig.trace}", "--json")
    assert failed.code == 1
    Path(f"{rig.trace}.go").touch()
    run_id = failed.facts["run_id"]
    resumed = cli("resume", run_id, "--resources", "train=memory=3Gi", "--json")
    assert resumed.code == 0
    assert rig.ran() == ["load", "clean", "weigh", "train", "weigh", "train", "score"]
    again = cli("resume", run_id.replace("resuming", "other"))
    assert (again.code, "No run" in again.err) == (2, True)


def test_the_version_is_printed(cli: Cli) -> None:
    answer = cli("--version")
    assert (answer.code, answer.out) == (0, f"flowyml-aws {__version__}\n")


def test_a_module_that_a_step_does_not_find_has_a_fix(rig: BackendRig, cli: Cli) -> None:
    file = rig.folder / "lacking.py"
    file.write_text(
        "from flowyml_aws import Pipeline, step\n\n@step\ndef read() -> int:\n"
        "    import no_such_module\n\npipeline = Pipeline('lacking').add_step(read)\n"
    )
    answer = cli("run", str(file))
    assert answer.code == 1
    assert "fix: install no_such_module in the image or with the setting `requirements`" in (
        answer.err
    )
