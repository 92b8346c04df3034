"""What holds for jobs on this machine only; tests/contracts has what holds everywhere."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flowyml_aws import Run
from flowyml_aws.connect import find_run
from flowyml_aws.local.backend import Machine
from flowyml_aws.submission.backend import JobState
from flowyml_aws.submission.driver import RunDriver
from tests.support.places import Place, eventually

pytestmark = pytest.mark.contract

WAIT = "import sys; from flowyml_aws import Run; print(Run.attach(sys.argv[1]).wait().state)"
# Ends at once: what it started goes on without it.
SUBMIT = """
import os, sys
from flowyml_aws.cli.load import load_pipeline
run = load_pipeline("waiting.py").submit(context={"trace": sys.argv[1]})
print(run.id, flush=True)
os._exit(0)
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place("local", tmp_path / "project")
    with place.entered():
        yield place


@pytest.fixture
def left(place: Place) -> Iterator[RunDriver]:
    """A run whose first job waits, and whose client is gone."""
    place.write("waiting")
    with place.client("-c", SUBMIT, str(place.trace)) as client:
        assert client.stdout is not None
        run_id = client.stdout.readline().strip()
        client.wait(timeout=60)
    eventually(lambda: "wait" in place.ran(), "the first job waiting")
    driver = find_run(run_id)
    yield driver
    driver.cancel()


def processes_of(run_id: str) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(run_id in argument for argument in process.info["cmdline"] or ())
    ]


def the_file(driver: RunDriver, document: str, attempt: int = 1) -> Path:
    key = driver.layout.attempt("first", attempt, document)
    return Path(driver.store.uri.removeprefix("file://"), key)


def state_of_first(run_id: str) -> JobState:
    return Run.attach(run_id).status().jobs[0].state


@pytest.fixture
def one_cpu() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system can't take CPUs from a process")
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    yield
    os.sched_setaffinity(0, cpus)


@pytest.mark.usefixtures("one_cpu")
def test_the_machine_is_what_this_process_may_use() -> None:
    machine = Machine.this()
    assert machine.vcpus == 1
    assert machine.memory_mib > 0


@pytest.mark.usefixtures("one_cpu")
def test_no_more_jobs_run_at_once_than_fit(place: Place) -> None:
    pipeline = place.pipeline("crowd:same")
    assert pipeline.run(progress=False).success
    assert place.ran() == [f"{job} {event}" for job in "abc" for event in ("begins", "ends")]


def test_a_job_that_asks_for_more_than_the_machine_runs_alone(place: Place) -> None:
    pipeline = place.pipeline("crowd:greedy")
    assert pipeline.run(progress=False).success
    assert place.ran() == ["a begins", "a ends", "b begins", "b ends"]


def test_a_killed_process_is_a_failure_that_says_so(place: Place) -> None:
    result = place.pipeline("killed").run(progress=False)
    (view,) = result.status.jobs
    assert view.reason == "its process was ended by SIGKILL: perhaps out of memory"
    assert result.step_results["devour"].error == f"{view.reason}\n"
    assert place.ran() == ["devour"]


def test_an_interrupt_leaves_no_process_behind(place: Place) -> None:
    file = place.write("orphans")
    with place.client(
        "-m", "flowyml_aws", "run", str(file), "--context", f"trace={place.trace}"
    ) as client:
        eventually(place.ran, "the step's own process")
        grandchildren = psutil.Process(client.pid).children(recursive=True)
        assert len(grandchildren) == 2  # the runner, and what its step started
        client.send_signal(signal.SIGINT)
        _, complaints = client.communicate(timeout=60)
    assert client.returncode == 130
    assert "flowyml-aws attach orphans-" in complaints
    _, alive = psutil.wait_procs(grandchildren, timeout=30)
    assert not alive


def test_a_job_outlives_its_client_and_its_result_counts(place: Place, left: RunDriver) -> None:
    Path(f"{place.trace}.go").touch()
    result = Run.attach(left.record.run_id).wait()
    assert result["d"] == "it is 42"
    assert place.ran() == ["begin", "wait", "double", "tell"]


def test_a_job_that_died_after_its_client_is_started_again(place: Place, left: RunDriver) -> None:
    pid = json.loads(the_file(left, "process.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes_of(left.record.run_id), "the runner's end")
    Path(f"{place.trace}.go").touch()
    result = Run.attach(left.record.run_id).wait()
    assert result["d"] == "it is 42"
    assert result.status.jobs[0].attempt == 2
    assert place.ran().count("begin") == 2


def test_a_process_that_its_client_could_not_note_is_found(left: RunDriver) -> None:
    the_file(left, "process.json").unlink()
    assert state_of_first(left.record.run_id) is JobState.RUNNING
    Run.attach(left.record.run_id).cancel()
    assert not processes_of(left.record.run_id)


def test_a_claim_without_a_process_is_taken_over(place: Place, left: RunDriver) -> None:
    """As if the client had died just before it started the process."""
    claim = the_file(left, "claim.json").read_text()
    Run.attach(left.record.run_id).cancel()
    Path(left.store.uri.removeprefix("file://"), left.layout.cancellation).unlink()
    for document in ("process.json", "exit.json", "log.txt", "events.json"):
        the_file(left, document).unlink(missing_ok=True)
    assert the_file(left, "claim.json").read_text() == claim
    Path(f"{place.trace}.go").touch()
    result = Run.attach(left.record.run_id).wait()
    assert (result.success, result.status.jobs[0].attempt) == (True, 2)


def test_a_process_on_another_machine_is_told_with_its_name(left: RunDriver) -> None:
    noted = the_file(left, "process.json")
    here = noted.read_text()
    noted.write_text(json.dumps({**json.loads(here), "host": "the-other-laptop"}))
    view = Run.attach(left.record.run_id).status().jobs[0]
    assert (view.state, view.reason) == (JobState.RUNNING, "on the machine the-other-laptop")
    noted.write_text(here)


def test_two_clients_at_once_start_each_job_once(place: Place, left: RunDriver) -> None:
    run_id = left.record.run_id
    with place.client("-c", WAIT, run_id) as one, place.client("-c", WAIT, run_id) as other:
        Path(f"{place.trace}.go").touch()
        ends = [client.communicate(timeout=60)[0].strip() for client in (one, other)]
    assert ends == ["completed", "completed"]
    assert place.ran() == ["begin", "wait", "double", "tell"]


def test_a_run_goes_on_after_an_interrupt_in_the_same_process(place: Place) -> None:
    run = place.pipeline("waiting").submit()

    def interrupt(_: object) -> None:
        if "wait" in place.ran():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.wait(interrupt)
    assert not processes_of(run.id)
    assert run.status().jobs[0].state is JobState.WAITING
    Path(f"{place.trace}.go").touch()
    assert run.wait()["d"] == "it is 42"


def test_jobs_import_the_package_that_runs_here_whatever_the_path_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ".")
    Path(f"{place.trace}.go").touch()
    assert place.pipeline("waiting").run(progress=False).success


def test_jobs_have_the_clients_environment_folder_and_python(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "grüße")
    result = place.pipeline("surroundings").run(progress=False)
    assert result["surroundings"] == ["grüße", str(place.folder), sys.executable, ""]
