"""Commands with an emulated account that another process serves."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.rigs import BackendRig, eventually

pytestmark = [pytest.mark.contract, pytest.mark.xdist_group("cli-emulated")]


@pytest.fixture
def rig(tmp_path: Path, emulator_settings: Mapping[str, str]) -> Iterator[BackendRig]:
    store = f"{emulator_settings['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    settings = {**emulator_settings, "FLOWYML_AWS_STORE": store}
    rig = BackendRig("batch", tmp_path / "project", settings)
    with rig.entered():
        yield rig


def run_batch(rig: BackendRig, pipeline: str) -> list[str]:
    file = str(rig.write(pipeline))
    return ["run", file, "--backend", "batch", "--context", f"trace={rig.trace}"]


def unblock(rig: BackendRig) -> None:
    """Let the waiting step of the pipeline finish."""
    Path(f"{rig.trace}.go").touch()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_attach_continues_after_the_client_has_ended_and_each_step_runs_once(
    rig: BackendRig, cli: Cli, sent: signal.Signals
) -> None:
    with rig.client("-m", "flowyml_aws", *run_batch(rig, "waiting")) as client:
        eventually(lambda: "wait" in rig.ran(), "the first job waiting")
        client.send_signal(sent)
        _, output = client.communicate(timeout=60)
    run_id = output.split()[1]  # "run <id> on batch: 3 jobs"
    if sent is signal.SIGINT:
        assert client.returncode == 130
        assert f"detached from run {run_id}: its jobs continue without this client" in output
        to_continue, to_cancel = output.splitlines()[-2:]
        assert to_continue.startswith("continue with: ")
        assert to_continue.endswith(f"flowyml-aws attach {run_id}")
        assert to_cancel.startswith("cancel it with: ")
        assert to_cancel.endswith(f"flowyml-aws cancel {run_id}")
    assert cli("status", run_id, "--json").facts["state"] == "running"
    unblock(rig)
    assert cli("attach", run_id).code == 0
    assert cli("get", run_id, "d").out == "it is 42\n"
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_a_detached_run_needs_no_client(rig: BackendRig, cli: Cli) -> None:
    answer = cli(*run_batch(rig, "waiting"), "--detach")
    run_id, hint = answer.out.splitlines()
    assert answer.code == 0
    assert hint.endswith(f"flowyml-aws attach {run_id}")
    (fact,) = cli("runs", "--json").facts
    assert (fact["run_id"], fact["state"]) == (run_id, "running")
    unblock(rig)
    eventually(lambda: "summarize" in rig.ran(), "the last step, without a client")
    assert cli("attach", run_id, "--json").facts["state"] == "succeeded"
    assert "waiting" in cli("logs", run_id, "first").out.splitlines()
    assert cli("runs", "--json").facts[0]["state"] == "succeeded"


def test_a_run_is_cancelled(rig: BackendRig, cli: Cli) -> None:
    run_id = cli(*run_batch(rig, "waiting"), "--detach", "--json").facts["run_id"]
    answer = cli("cancel", run_id)
    assert answer.code == 0
    assert answer.out.startswith(f"{run_id}: ")
    assert cli("attach", run_id).code == 1
    assert cli("status", run_id, "--json").facts["state"] == "cancelled"


def test_a_failed_run_prints_the_users_traceback(rig: BackendRig, cli: Cli) -> None:
    answer = cli(*run_batch(rig, "failing"))
    assert answer.code == 1
    assert 'File "failing.py", line 10, in fail' in answer.err
    assert "ZeroDivisionError: division by zero" in answer.err


def test_plan_uses_the_queues_of_the_account(rig: BackendRig, cli: Cli) -> None:
    facts = cli("plan", str(rig.write("needy")), "-b", "batch", "--json").facts
    assert [job["target"] for job in facts["jobs"]] == ["flowyml-emulator-t4"]


def test_the_setting_account_is_enough(
    rig: BackendRig, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in rig.environment if name.startswith("FLOWYML_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FLOWYML_AWS_ACCOUNT", "/flowyml-aws/emulator")
    plan = ("plan", str(rig.write("noisy")), "--backend", "batch", "--json")
    facts = cli(*plan).facts
    assert {job["target"] for job in facts["jobs"]} == {"flowyml-emulator-cpu"}
    assert not any("no account" in note for note in facts["notes"])
    monkeypatch.setenv("FLOWYML_AWS_ACCOUNT", "/flowyml-aws/other")
    answer = cli(*plan)
    assert answer.code == 3
    assert "correct `account` if the name is wrong" in answer.err


def test_after_a_run_a_plan_estimates_the_cost_and_limits_apply(rig: BackendRig, cli: Cli) -> None:
    file = str(rig.write("noisy"))
    run, plan = ("run", file, "--backend", "batch"), ("plan", file, "--backend", "batch")
    answer = cli(*run, "--max-cost-usd", "1")
    assert answer.code == 2
    assert "give the steps a timeout" in answer.err
    assert cli(*run).code == 0
    estimate = cli(*plan, "--no-cache", "--json").facts["estimate"]
    assert estimate["runs"] == 1
    assert 0 < estimate["cost_usd"] < 1
    over_budget = cli(*plan, "--no-cache", "--max-cost-usd", "0.0001")
    assert over_budget.code == 2
    assert "expected: $" in over_budget.out
    assert "max_cost_usd is 0.0001" in over_budget.err
    assert cli(*run, "--no-cache", "--max-cost-usd", "1").code == 0


def test_names_find_runs_in_the_local_store_and_in_s3(rig: BackendRig, cli: Cli) -> None:
    kinds = ("run", str(rig.write("kinds")), "--backend", "local", "--json")
    local = cli(*kinds).facts["run_id"]
    unblock(rig)
    answer = cli(*run_batch(rig, "waiting"))
    in_s3 = answer.out.split()[1].rstrip(":")
    names = {"latest": in_s3, "waiting": in_s3, "latest:kinds": local, "kinds": local}
    for name, run_id in names.items():
        assert cli("status", name, "--json").facts["run_id"] == run_id
    (cost,) = (line for line in answer.out.splitlines() if line.startswith("cost: "))
    assert cost.endswith(" without starts")
    runs = {run["run_id"]: run["cost_usd"] for run in cli("runs", "--json").facts}
    assert runs[in_s3] > 0 and runs[local] is None
