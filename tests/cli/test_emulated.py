"""The commands with an emulated account that another terminal serves."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.places import Place, eventually

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("cli-emulated")]


@pytest.fixture
def place(tmp_path: Path, emulator_settings: Mapping[str, str]) -> Iterator[Place]:
    store = f"{emulator_settings['FLOWYML_AWS_STORE']}/{uuid.uuid4().hex}"
    settings = {**emulator_settings, "FLOWYML_AWS_STORE": store}
    place = Place("batch", tmp_path / "project", settings)
    with place.entered():
        yield place


def run_batch(place: Place, pipeline: str) -> list[str]:
    file = str(place.write(pipeline))
    return ["run", file, "--backend", "batch", "--context", f"trace={place.trace}"]


def go(place: Place) -> None:
    Path(f"{place.trace}.go").touch()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_the_client_is_gone_attach_goes_on_and_each_step_ran_once(
    place: Place, cli: Cli, number: signal.Signals
) -> None:
    with place.client("-m", "flowyml_aws", *run_batch(place, "waiting")) as client:
        eventually(lambda: "wait" in place.ran(), "the first job waiting")
        client.send_signal(number)
        _, told = client.communicate(timeout=60)
    run_id = told.split()[1]  # "run <id> on batch: 3 jobs"
    if number is signal.SIGINT:
        assert client.returncode == 130
        assert f"flowyml-aws attach {run_id}" in told
        assert f"flowyml-aws cancel {run_id}" in told
    assert cli("status", run_id, "--json").facts["state"] == "running"
    go(place)
    assert cli("attach", run_id).code == 0
    assert cli("get", run_id, "d").out == "it is 42\n"
    assert place.ran() == ["begin", "wait", "double", "tell"]


def test_a_detached_run_needs_nobody(place: Place, cli: Cli) -> None:
    answer = cli(*run_batch(place, "waiting"), "--detach")
    run_id, hint = answer.out.splitlines()
    assert answer.code == 0
    assert hint.endswith(f"flowyml-aws attach {run_id}")
    (fact,) = cli("runs", "--json").facts
    assert (fact["run_id"], fact["state"]) == (run_id, "not seen to end")
    go(place)
    eventually(lambda: "tell" in place.ran(), "the last step, without a client")
    assert cli("attach", run_id, "--json").facts["state"] == "completed"
    assert "waiting" in cli("logs", run_id, "first").out.splitlines()
    assert cli("runs", "--json").facts[0]["state"] == "succeeded"


def test_a_run_is_cancelled(place: Place, cli: Cli) -> None:
    run_id = cli(*run_batch(place, "waiting"), "--detach", "--json").facts["run_id"]
    answer = cli("cancel", run_id)
    assert answer.code == 0
    assert answer.out.startswith(f"{run_id}: ")
    assert cli("attach", run_id).code == 1
    assert cli("status", run_id, "--json").facts["state"] == "cancelled"


def test_a_failed_run_tells_the_users_traceback(place: Place, cli: Cli) -> None:
    answer = cli(*run_batch(place, "failing"))
    assert answer.code == 1
    assert 'File "failing.py", line 10, in fail' in answer.err
    assert "ZeroDivisionError: division by zero" in answer.err


def test_plan_uses_the_queues_of_the_account(place: Place, cli: Cli) -> None:
    facts = cli("plan", str(place.write("needy")), "--json").facts
    assert [job["target"] for job in facts["jobs"]] == ["gpu-t4"]
