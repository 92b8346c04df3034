"""Behaviour of the local backend only; tests/contracts covers all backends."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flowyml_aws import Run
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.backend import LocalBackend, Machine
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.local.processes import this_process
from flowyml_aws.services.connect import find_run
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from flowyml_aws.submission.record import RunState, read_plan, read_record
from flowyml_aws.view import status_table
from flowyml_aws.view.terminal import Terminal
from tests.support.plans import a_job, a_plan, a_record
from tests.support.rigs import BackendRig, eventually

pytestmark = pytest.mark.contract

WAIT = "import sys; from flowyml_aws import Run; print(Run.attach(sys.argv[1]).wait().state)"
# Exits at once; the processes that it started keep running.
SUBMIT = """
import os, sys
from flowyml_aws.cli.load import load_pipeline
run = load_pipeline("waiting.py").submit(context={"trace": sys.argv[1]})
print(run.id, flush=True)
os._exit(0)
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BackendRig]:
    rig = BackendRig("local", tmp_path / "project")
    with rig.entered():
        yield rig


@pytest.fixture
def detached(rig: BackendRig) -> Iterator[RunDriver]:
    """A run whose first job waits, and whose client has exited."""
    rig.write("waiting")
    with rig.client("-c", SUBMIT, str(rig.trace)) as client:
        run_id = client.stdout.readline().strip()
        client.wait(timeout=60)
    eventually(lambda: "wait" in rig.ran(), "the first job waiting")
    driver = find_run(run_id)
    yield driver
    driver.cancel()


def processes_of(run_id: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(run_id in argument for argument in process.info["cmdline"] or ())
    ]


def attempt_file(driver: RunDriver, document: str, attempt: int = 1) -> Path:
    key = driver.layout.attempt("first", attempt, document)
    return Path(driver.store.uri.removeprefix("file://"), key)


@contextmanager
def moved_elsewhere(driver: RunDriver, silent_s: float = 0) -> Iterator[None]:
    """Let the first job look as if it ran on another machine, which reported for the last time."""
    identity = attempt_file(driver, "process.json")
    original = identity.read_text()
    elsewhere = {"host": "other-machine", "machine": "other", "boot": "other"}
    identity.write_text(json.dumps({**json.loads(original), **elsewhere}))
    eventually(attempt_file(driver, "alive.json").is_file, "the heartbeat")
    for document in ("alive.json", "process.json", "claim.json"):
        os.utime(attempt_file(driver, document), (time.time() - silent_s,) * 2)
    yield
    identity.write_text(original)


def state_of_first(run_id: str) -> JobState:
    return Run.attach(run_id).status().jobs[0].state


@pytest.fixture
def one_cpu() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not support CPU affinity")
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    yield
    os.sched_setaffinity(0, cpus)


@pytest.mark.usefixtures("one_cpu")
def test_the_machine_has_the_cpus_that_this_process_may_use() -> None:
    machine = Machine.this()
    assert machine.vcpus == 1
    assert machine.memory_mib > 0


@pytest.mark.usefixtures("one_cpu")
def test_no_more_jobs_run_at_once_than_fit(rig: BackendRig) -> None:
    pipeline = rig.pipeline("crowd:same")
    assert pipeline.run(progress=False).success
    assert rig.ran() == [f"{job} {event}" for job in "abc" for event in ("begins", "ends")]


def test_a_job_that_requires_more_than_the_machine_has_runs_alone(rig: BackendRig) -> None:
    pipeline = rig.pipeline("crowd:greedy")
    assert pipeline.run(progress=False).success
    assert rig.ran() == ["a begins", "a ends", "b begins", "b ends"]


def test_a_killed_process_is_a_failure_that_names_the_signal(rig: BackendRig) -> None:
    result = rig.pipeline("killed").run(progress=False)
    (view,) = result.status.jobs
    assert view.reason == "its process was ended by SIGKILL: perhaps out of memory"
    assert result.step_results["devour"].error == f"{view.reason}\n"
    assert rig.ran() == ["devour"]


@pytest.mark.usefixtures("new_pythons")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_that_ends_the_command_leaves_no_process_behind(
    rig: BackendRig, number: signal.Signals, code: int
) -> None:
    file = rig.write("orphans")
    with rig.client(
        "-m", "flowyml_aws", "run", str(file), "--context", f"trace={rig.trace}"
    ) as client:
        eventually(rig.ran, "the step's own process")
        grandchildren = psutil.Process(client.pid).children(recursive=True)
        assert len(grandchildren) >= 2  # at least the runner, and the process of its step
        client.send_signal(number)
        _, stderr = client.communicate(timeout=60)
    assert client.returncode == code
    assert "flowyml-aws attach orphans-" in stderr
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(grandchildren, timeout=30)
    assert not alive


@pytest.mark.usefixtures("new_pythons")
def test_a_signal_that_ends_a_script_leaves_no_process_behind(rig: BackendRig) -> None:
    file = rig.write("orphans")
    code = (
        f"pipeline.context = pipeline.context.inherit(trace={str(rig.trace)!r})\npipeline.run()\n"
    )
    file.write_text(file.read_text() + code)
    with rig.client(str(file)) as client:
        eventually(rig.ran, "the step's own process")
        grandchildren = psutil.Process(client.pid).children(recursive=True)
        client.send_signal(signal.SIGTERM)
        _, stderr = client.communicate(timeout=60)
    assert client.returncode == -signal.SIGTERM
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(grandchildren, timeout=30)
    assert not alive


def test_a_step_that_runs_its_own_pipeline_fails_instead_of_starting_runs_without_end(
    rig: BackendRig,
) -> None:
    result = rig.pipeline("nested").run(progress=False)
    assert not result.success
    error = result.step_results["again"].error
    assert error is not None and "A step of pipeline 'nested' runs pipeline 'nested'" in error
    assert len(list(Path(".flowyml/aws/runs").iterdir())) == 1


def test_a_second_interrupt_does_not_wait_for_the_jobs(rig: BackendRig) -> None:
    run = rig.pipeline("stubborn", client=os.getpid()).submit()

    def interrupt(_: object) -> None:
        if "wait" in rig.ran():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.wait(interrupt)
    eventually(lambda: not processes_of(run.id), "the runner's end")
    assert run.status().jobs[0].state is JobState.WAITING


def test_a_job_outlives_its_client_and_its_result_counts(
    rig: BackendRig, detached: RunDriver
) -> None:
    Path(f"{rig.trace}.go").touch()
    result = Run.attach(detached.record.run_id).wait()
    assert result["d"] == "it is 42"
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_a_job_that_died_after_its_client_is_started_again(
    rig: BackendRig, detached: RunDriver
) -> None:
    pid = json.loads(attempt_file(detached, "process.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes_of(detached.record.run_id), "the runner's end")
    Path(f"{rig.trace}.go").touch()
    result = Run.attach(detached.record.run_id).wait()
    assert result["d"] == "it is 42"
    assert result.status.jobs[0].attempt == 2
    assert str(result.lost_attempts) == "1 attempt lost"  # it has no price here
    assert rig.ran().count("begin") == 2


def test_a_process_that_its_client_did_not_record_is_found(detached: RunDriver) -> None:
    attempt_file(detached, "process.json").unlink()
    assert state_of_first(detached.record.run_id) is JobState.RUNNING
    Run.attach(detached.record.run_id).cancel()
    assert not processes_of(detached.record.run_id)


def test_a_claim_without_a_process_is_taken_over(rig: BackendRig, detached: RunDriver) -> None:
    """Simulates a client that died just before it started the process."""
    claim = attempt_file(detached, "claim.json").read_text()
    Run.attach(detached.record.run_id).cancel()
    Path(detached.store.uri.removeprefix("file://"), detached.layout.cancellation).unlink()
    for document in ("process.json", "exit.json", "log.txt", "events.json"):
        attempt_file(detached, document).unlink(missing_ok=True)
    assert attempt_file(detached, "claim.json").read_text() == claim
    Path(f"{rig.trace}.go").touch()
    result = Run.attach(detached.record.run_id).wait()
    assert (result.success, result.status.jobs[0].attempt) == (True, 2)


def test_a_process_on_another_machine_is_reported_with_the_machines_name(
    detached: RunDriver,
) -> None:
    with moved_elsewhere(detached):
        status = Run.attach(detached.record.run_id).status()
    (view, *_) = status.jobs
    shown = io.StringIO()
    Terminal(file=shown, width=200).print(status_table(status, 0.0))
    assert view.state is JobState.RUNNING
    assert view.reason is not None and view.reason.startswith("on the machine other-machine")
    assert f"first runs: {view.reason}" in shown.getvalue()


def test_a_job_of_a_machine_that_does_not_report_is_started_again(
    rig: BackendRig, detached: RunDriver
) -> None:
    Path(f"{rig.trace}.go").touch()
    eventually(lambda: not processes_of(detached.record.run_id), "the first attempt's end")
    attempt_file(detached, "process.json").parent.parent.parent.joinpath("result.json").unlink()
    with moved_elsewhere(detached, silent_s=3600):
        view = Run.attach(detached.record.run_id).status().jobs[0]
        assert (view.state, view.reason) == (
            JobState.WAITING,
            "the machine other-machine, which ran it, does not report any more",
        )
        result = Run.attach(detached.record.run_id).wait()
    assert (result.success, result.status.jobs[0].attempt) == (True, 2)


@pytest.mark.parametrize("silent_s", [0, 3600])
def test_a_run_of_another_machine_can_be_cancelled(detached: RunDriver, silent_s: float) -> None:
    with moved_elsewhere(detached, silent_s):
        Run.attach(detached.record.run_id).cancel()
        status = Run.attach(detached.record.run_id).status()
    assert status.state is RunState.CANCELLED
    # The heartbeat of the job finds this document, and ends it.
    assert attempt_file(detached, "exit.json").is_file()
    (process,) = processes_of(detached.record.run_id)
    process.kill()


def test_a_stopped_process_is_ended_after_the_time_limit_of_its_job(rig: BackendRig) -> None:
    run = rig.pipeline("stopped").submit()
    run.leave()  # for a backend with another clock
    seconds = 0.0
    store = DirectoryArtifactStore(Path(".flowyml/aws"))
    record, plan = read_record(store, run.id), read_plan(store, run.id)
    backend = LocalBackend(store, record, plan, Machine.this(), os.environ, lambda: seconds)
    driver = RunDriver(store, record, plan, backend)
    driver.advance()
    identity = store.path(driver.layout.attempt("stop", 2, "process.json"))
    process = psutil.Process(json.loads(identity.read_text())["pid"])
    eventually(lambda: process.status() == psutil.STATUS_STOPPED, "the stop")
    assert driver.status().state is RunState.RUNNING
    seconds = 1e6
    eventually(lambda: driver.status().state is RunState.FAILED, "the end")
    assert driver.status().jobs[0].reason == "it was killed after its time limit of 601 s"


def test_two_clients_at_once_start_each_job_once(rig: BackendRig, detached: RunDriver) -> None:
    run_id = detached.record.run_id
    with rig.client("-c", WAIT, run_id) as first, rig.client("-c", WAIT, run_id) as second:
        Path(f"{rig.trace}.go").touch()
        states = [client.communicate(timeout=60)[0].strip() for client in (first, second)]
    assert states == ["succeeded", "succeeded"]
    assert rig.ran() == ["begin", "wait", "double", "summarize"]


def test_a_client_that_looked_before_another_one_started_a_job_does_not_start_it_again(
    tmp_path: Path,
) -> None:
    store = DirectoryArtifactStore(tmp_path)
    plan = a_plan(a_job("load"), backend="local")
    layout = RunLayout(a_record(plan).run_id)
    late = LocalBackend(store, a_record(plan), plan, Machine(2, 4096), {})
    assert late.statuses() == {}
    store.create(layout.attempt("load", 1, "claim.json"), this_process().to_json())
    late.submit(plan.jobs, ())
    assert set(store.children(layout.attempts("load"))) == {"1"}


def test_a_run_continues_after_an_interrupt_in_the_same_process(rig: BackendRig) -> None:
    run = rig.pipeline("waiting").submit()

    def interrupt(_: object) -> None:
        if "wait" in rig.ran():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.wait(interrupt)
    assert not processes_of(run.id)
    assert run.status().jobs[0].state is JobState.WAITING
    Path(f"{rig.trace}.go").touch()
    assert run.wait()["d"] == "it is 42"


def test_jobs_import_the_clients_package_regardless_of_pythonpath(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ".")
    Path(f"{rig.trace}.go").touch()
    assert rig.pipeline("waiting").run(progress=False).success


def test_jobs_have_the_clients_environment_folder_and_python(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "grüße")
    result = rig.pipeline("surroundings").run(progress=False)
    assert result["surroundings"] == ["grüße", str(rig.folder), sys.executable, ""]


def test_jobs_keep_the_hash_seed_of_the_client(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = rig.pipeline("environment").run(progress=False)["process"]["hash"]
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    found = rig.pipeline("environment").run(progress=False, cache=False)["process"]["hash"]
    assert found != default


def test_a_script_may_close_its_standard_error(
    rig: BackendRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(f"{rig.trace}.go").touch()
    pipeline = rig.pipeline("waiting")
    stderr = io.StringIO()
    stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    assert pipeline.run(progress=True).success
