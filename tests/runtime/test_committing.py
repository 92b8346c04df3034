from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.claim import JobClaim, claim_job
from flowyml_aws.runtime.events import Progress
from flowyml_aws.runtime.exit_codes import SECOND_COPY, STEP_FAILED
from flowyml_aws.runtime.result import AttemptEvents, StepState, read_result
from flowyml_aws.runtime.summary import JobSummary
from tests.runtime.harness import RUN, WrittenRun, finish, run_runner, start_python
from tests.support.denied_stores import StoreWithoutSummaries
from tests.support.rigs import eventually

pytestmark = pytest.mark.contract


def counting(tmp_path: Path, fails: bool = False) -> WrittenRun:
    """Write a run whose job leaves a mark each time it runs."""

    @step(outputs=["pid"])
    def mark() -> int:
        with (tmp_path / "marks").open("a") as file:
            file.write("ran\n")
        assert not fails
        return os.getpid()

    return WrittenRun(tmp_path, mark)


def marks(tmp_path: Path) -> int:
    return (tmp_path / "marks").read_text().count("ran")


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 10)])
def test_a_second_attempt_finds_the_result_and_runs_nothing(
    tmp_path: Path, fails: bool, code: int
) -> None:
    run = counting(tmp_path, fails)
    assert run.run().code == code
    first = run.result()
    again = run.run(FLOWYML_ATTEMPT="2")
    assert again.code == code
    assert "attempt 1 has already committed a result" in again.log
    assert run.result() == first
    assert marks(tmp_path) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_key_contains_the_summary_of_the_result(tmp_path: Path, fails: bool) -> None:
    run = counting(tmp_path, fails)
    run.run()
    result = run.result()
    (name,) = run.summaries()
    summary = JobSummary.from_name(name)
    assert summary is not None
    assert (summary.state, summary.reason) == (result.state, result.reason)
    assert summary.asset_bytes.keys() == result.assets.keys()


def test_an_attempt_that_finds_a_result_writes_its_missing_summary(tmp_path: Path) -> None:
    run = counting(tmp_path)
    run.run()
    (name,) = run.summaries()
    run.store.delete([run.layout.summary("mark", name)])
    run.run(FLOWYML_ATTEMPT="2")
    assert run.summaries() == [name]


def test_a_summary_that_is_denied_does_not_fail_the_job(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = counting(tmp_path)
    store = StoreWithoutSummaries(tmp_path / "store")
    result = Attempt.begin(run.spec(), store, 1).commit("succeeded")
    assert run.result() == result
    assert "could not write the summary" in capfd.readouterr().err


def test_two_runners_at_once_commit_one_result(tmp_path: Path) -> None:
    @step(outputs=["mine"])
    def meet() -> str:
        mine = os.environ["FLOWYML_ATTEMPT"]
        (tmp_path / mine).touch()
        while not ((tmp_path / "1").exists() and (tmp_path / "2").exists()):
            time.sleep(0.01)
        return mine

    run = WrittenRun(tmp_path, meet)
    processes = [run.start(FLOWYML_ATTEMPT=number) for number in ("1", "2")]
    ended = [finish(process) for process in processes]
    assert [end.code for end in ended] == [0, 0]
    losers = [
        i for i, end in enumerate(ended, 1) if "another attempt has already committed" in end.log
    ]
    assert losers == [3 - run.result().attempt]
    assert run.value("mine") == str(run.result().attempt)


def test_a_second_copy_of_a_batch_job_ends_before_its_first_step(tmp_path: Path) -> None:
    @step(outputs=["by"])
    def meet() -> str:
        (tmp_path / "started").touch()
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return os.environ["AWS_BATCH_JOB_ID"]

    run = WrittenRun(tmp_path, meet)
    first = run.start(AWS_BATCH_JOB_ID="first", AWS_BATCH_JOB_ATTEMPT="1")
    eventually((tmp_path / "started").exists, "the first copy running")
    # A copy that starts late has another attempt number if its first start failed by chance.
    for attempt in ("1", "2"):
        second = run.run(AWS_BATCH_JOB_ID="second", AWS_BATCH_JOB_ATTEMPT=attempt)
        assert (second.code, run.has_result()) == (SECOND_COPY, False)
        assert "first has claimed this job" in second.log
    assert run.events().attempt == 1 and len(run.store.children(run.layout.attempts("meet"))) == 1
    (tmp_path / "go").touch()
    assert finish(first).code == 0
    assert run.value("by") == "first"


def test_a_copy_continues_in_its_next_attempt(tmp_path: Path) -> None:
    run = counting(tmp_path)
    claim = JobClaim(copy_id="first", claimed_at=0.0)
    assert claim_job(run.store, RUN, "mark", 1, claim) == "first"
    assert run.run(AWS_BATCH_JOB_ID="first", AWS_BATCH_JOB_ATTEMPT="2").code == 0
    assert run.result().attempt == 2


def test_batch_sets_the_number_of_the_attempt(tmp_path: Path) -> None:
    run = counting(tmp_path)
    assert run.run(AWS_BATCH_JOB_ATTEMPT="3").code == 0
    assert run.result().attempt == 3


def test_the_result_contains_the_times_of_the_job_and_its_steps(tmp_path: Path) -> None:
    run = counting(tmp_path)
    run.run()
    result, report = run.result(), run.report("mark")
    assert report.started_at is not None and report.ended_at is not None
    assert result.started_at <= report.started_at <= report.ended_at <= result.ended_at
    assert report.duration_s == report.ended_at - report.started_at


def test_the_runner_needs_one_argument(tmp_path: Path) -> None:
    ended = finish(start_python(["-m", "flowyml_aws.job"], tmp_path))
    assert ended.code == 11
    assert "usage" in ended.log


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    uri = f"{(tmp_path / 'store').as_uri()}/runs/r/specs/0.json"
    ended = run_runner(f"{uri}#sha256={'0' * 64},bytes=0+1", tmp_path)
    assert ended.code == 11
    assert uri in ended.log


def test_an_invalid_store_uri_is_named(tmp_path: Path) -> None:
    ended = run_runner(f"file:relative/runs/r/specs/0.json#sha256={'0' * 64},bytes=0+1", tmp_path)
    assert ended.code == 11
    assert "'file:relative'" in ended.log


def test_an_unexpected_error_does_not_look_like_success(tmp_path: Path) -> None:
    ended = counting(tmp_path).run(FLOWYML_ATTEMPT="the first")
    assert ended.code == 11
    assert "unexpected error" in ended.log
    assert "ValueError: invalid literal" in ended.log


class FlakyStore:
    """A store whose first call fails."""

    def __init__(self) -> None:
        self.put_keys: list[str] = []

    def put(self, key: str, data: bytes) -> None:
        self.put_keys.append(key)
        if len(self.put_keys) == 1:
            raise ConnectionError("lost")


def test_progress_that_cannot_be_written_does_not_stop_the_job(
    capfd: pytest.CaptureFixture[str],
) -> None:
    store, progress = FlakyStore(), Progress(["a"], 1, {})
    progress.start(store, "events.json", interval_s=0.01)  # type: ignore[arg-type]
    progress.update("a", state=StepState.SUCCEEDED)
    progress.close()
    assert store.put_keys
    assert "could not write the progress: lost" in capfd.readouterr().err


class ListStore:
    """A store that keeps every version of one object."""

    def __init__(self) -> None:
        self.versions: list[AttemptEvents] = []

    def put(self, key: str, data: bytes) -> None:
        self.versions.append(AttemptEvents.model_validate_json(data))


def running_steps(store: ListStore) -> list[str]:
    """Return the steps that run according to the latest version."""
    reports = store.versions[-1].steps if store.versions else ()
    return [report.name for report in reports if report.state is StepState.RUNNING]


def has_versions(store: ListStore, count: int) -> bool:
    return len(store.versions) == count


def test_progress_names_the_running_step_although_the_previous_one_was_short() -> None:
    store, progress = ListStore(), Progress(["short", "killed"], 1, {})
    progress.start(store, "events.json", interval_s=3600)  # type: ignore[arg-type]
    progress.update("short", state=StepState.RUNNING)
    eventually(lambda: running_steps(store) == ["short"])
    progress.update("short", state=StepState.SUCCEEDED)
    progress.update("killed", state=StepState.RUNNING)
    eventually(lambda: running_steps(store) == ["killed"])
    progress.close()


def test_progress_of_many_steps_is_written_at_most_once_per_interval() -> None:
    names = [f"step-{number}" for number in range(100)]
    store, progress = ListStore(), Progress(names, 1, {})
    progress.start(store, "events.json", interval_s=3600)  # type: ignore[arg-type]
    for prompt, name in enumerate(names[:20], 1):
        progress.update(name, state=StepState.SUCCEEDED)
        eventually(partial(has_versions, store, prompt))
    for name in names[20:]:
        progress.update(name, state=StepState.SUCCEEDED)
    progress.close()
    assert len(store.versions) == 21
    assert {report.state for report in store.versions[-1].steps} == {StepState.SUCCEEDED}


def hungry() -> None:
    raise MemoryError("too large")


@pytest.mark.parametrize(
    ("moves_on", "code", "is_committed"),
    [
        ("out of memory,disk full", 18, False),
        ("disk full", STEP_FAILED, True),
        ("", STEP_FAILED, True),
    ],
)
def test_a_failure_for_which_the_job_moves_is_not_committed(
    tmp_path: Path, moves_on: str, code: int, is_committed: bool
) -> None:
    run = WrittenRun(tmp_path, step(hungry))
    ended = run.run(FLOWYML_MOVES_ON=moves_on)
    assert ended.code == code
    assert (read_result(run.store, RUN, "hungry") is not None) == is_committed
    assert ("continues on a larger machine" in ended.log) == (not is_committed)


def test_a_job_that_moved_takes_over_the_steps_of_its_first_machine(tmp_path: Path) -> None:
    @step(outputs=["a"], execution_group="g", cache="code_hash")
    def once() -> int:
        (tmp_path / "once").touch(exist_ok=False)
        return 1

    @step(inputs=["a"], outputs=["b"], execution_group="g")
    def grow(a: int) -> int:
        if os.environ.get("FLOWYML_MOVES_ON"):
            raise MemoryError("too large")
        return a + 1

    run = WrittenRun(tmp_path, once, grow)
    first = run.run(
        AWS_BATCH_JOB_ID="first", AWS_BATCH_JOB_ATTEMPT="2", FLOWYML_MOVES_ON="out of memory"
    )
    assert first.code == 18
    second = run.run(
        AWS_BATCH_JOB_ID="second", AWS_BATCH_JOB_ATTEMPT="1", FLOWYML_ATTEMPTS_BEFORE="10"
    )
    assert second.code == 0
    assert run.result().attempt == 11
    assert run.value("b") == 2
