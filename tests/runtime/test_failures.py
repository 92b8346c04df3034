from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.content import Parts
from flowyml_aws.artifacts.layout import RunLayout
from flowyml_aws.local.directory import DirectoryArtifactStore
from flowyml_aws.runtime.attempt import Attempt
from flowyml_aws.runtime.failures import describe_step_failure
from flowyml_aws.runtime.interruption import Interruption
from flowyml_aws.runtime.job import run_job
from flowyml_aws.runtime.result import StepFailure, StepState
from tests.runtime.harness import RUN, WrittenRun


def caught(body: Callable[[], Any], *roots: Path) -> StepFailure:
    try:
        body()
    except BaseException as error:
        return describe_step_failure(error, roots)
    raise AssertionError("it did not raise")


def failure_of(tmp_path: Path, body: Callable[[], Any]) -> StepFailure:
    """Return the failure that the runner reports for a step with this body."""
    runner = WrittenRun(tmp_path, step(name="work")(body)).runner()
    assert not runner.run()
    failure = runner.attempt.progress.reports[0].failure
    assert failure is not None
    return failure


class Unprintable(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no words")


class CustomError(BaseException):
    pass


def raises(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@pytest.mark.version_sensitive
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bad"), "ValueError"),
        (SystemExit(0), "SystemExit"),
        (SystemExit("no data"), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (CustomError("mine"), "CustomError"),
        (Unprintable(), "Unprintable"),
        (MemoryError(), "MemoryError"),
    ],
    ids=repr,
)
def test_any_exception_of_a_step_is_its_failure(
    tmp_path: Path, error: BaseException, kind: str
) -> None:
    assert failure_of(tmp_path, raises(error)).kind == kind


@pytest.mark.contract
@pytest.mark.parametrize("code", ["0", "1", "None"])
def test_a_step_that_calls_exit_fails_its_job(tmp_path: Path, code: str) -> None:
    @step(outputs=["n"])
    def leaves() -> None:
        sys.exit({"0": 0, "1": 1, "None": None}[code])

    run = WrittenRun(tmp_path, leaves)
    assert run.run().code == 10
    report = run.report("leaves")
    assert report.state is StepState.FAILED
    assert report.failure is not None and "sys.exit(" in report.failure.text


@pytest.mark.contract
def test_a_process_that_ends_itself_leaves_no_result(tmp_path: Path) -> None:
    @step
    def vanishes() -> None:
        os._exit(0)

    run = WrittenRun(tmp_path, vanishes)
    assert run.run().code == 0
    assert not run.has_result()


@pytest.mark.contract
def test_a_step_that_closes_the_standard_streams_does_not_break_the_runner(tmp_path: Path) -> None:
    @step(outputs=["n"])
    def closes() -> int:
        sys.stdout.close()
        sys.stderr.close()
        return 1

    run = WrittenRun(tmp_path, closes)
    assert run.run().code == 0
    assert run.value("n") == 1


@pytest.mark.version_sensitive
def test_a_failure_shows_the_users_lines_and_none_of_the_runners(tmp_path: Path) -> None:
    def helper() -> None:
        raise ValueError("deep inside")  # the line

    def body() -> None:
        helper()

    failure = failure_of(tmp_path, body)
    assert failure.message == "deep inside"
    assert 'raise ValueError("deep inside")  # the line' in failure.text
    assert failure.text.count("  File ") == 2
    assert "flowyml_aws/" not in failure.text


@pytest.mark.version_sensitive
def test_a_chain_of_exceptions_is_reported_completely(tmp_path: Path) -> None:
    def body() -> None:
        try:
            {}["key"]  # type: ignore[index]
        except KeyError as error:
            raise ValueError("outer") from error

    failure = failure_of(tmp_path, body)
    assert "KeyError: 'key'" in failure.text
    assert "direct cause" in failure.text
    assert failure.text.endswith("ValueError: outer\n")


@pytest.mark.version_sensitive
def test_a_traceback_shows_project_files_relative_to_the_project(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    module = tmp_path / "package" / "module.py"
    module.write_text("def body():\n    raise ValueError('x')  # here\n")
    namespace: dict[str, Any] = {}
    exec(compile(module.read_text(), str(module), "exec"), namespace)

    def wraps() -> None:
        try:
            namespace["body"]()
        except ValueError as error:
            raise RuntimeError("also in causes") from error

    traceback = caught(wraps, tmp_path / "elsewhere", tmp_path).text
    assert 'File "package/module.py", line 2, in body' in traceback
    assert "# here" in traceback
    assert str(tmp_path) not in traceback


def test_the_message_keeps_its_paths(tmp_path: Path) -> None:
    failure = caught(lambda: (tmp_path / "missing").read_text(), tmp_path)
    assert str(tmp_path / "missing") in failure.message
    assert str(tmp_path / "missing") in failure.text


@pytest.mark.version_sensitive
def test_a_syntax_error_shows_a_project_file_relative_to_the_project(tmp_path: Path) -> None:
    failure = caught(lambda: compile("a b", str(tmp_path / "broken.py"), "exec"), tmp_path)
    assert 'File "broken.py", line 1' in failure.text


def test_a_very_long_message_stays_bounded() -> None:
    failure = caught(raises(ValueError("start " + "x" * 10_000_000 + " end")))
    assert len(failure.message) < 3_000
    assert failure.message.startswith("start ") and failure.message.endswith(" end")
    assert "characters left out" in failure.message
    assert len(failure.text) < 110_000


@pytest.mark.version_sensitive
def test_endless_recursion_stays_bounded() -> None:
    def even(n: int) -> int:
        return odd(n + 1)

    def odd(n: int) -> int:
        return even(n + 1)

    failure = caught(lambda: even(0))
    assert failure.kind == "RecursionError"
    assert len(failure.text) < 110_000


@pytest.mark.version_sensitive
def test_a_long_chain_of_causes_stays_bounded() -> None:
    def body() -> None:
        error: Exception = ValueError("first")
        for n in range(300):
            try:
                raise ValueError(f"number {n}") from error
            except ValueError as next_one:
                error = next_one
        raise error

    assert len(caught(body).text) < 110_000


def test_a_message_that_is_not_unicode_can_be_written_as_json() -> None:
    failure = caught(raises(ValueError("name\udcff")))
    assert json.loads(failure.to_json())["message"] == "name\\udcff"


@pytest.mark.version_sensitive
@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups need Python 3.11")
def test_an_exception_group_is_reported_with_its_members(tmp_path: Path) -> None:
    module = tmp_path / "member.py"
    module.write_text("def body():\n    raise KeyError('member')\n")
    namespace: dict[str, Any] = {}
    exec(compile(module.read_text(), str(module), "exec"), namespace)

    def body() -> None:
        errors = []
        try:
            namespace["body"]()
        except KeyError as error:
            errors.append(error)
        raise ExceptionGroup("several", errors)  # type: ignore[name-defined,unused-ignore]  # noqa: F821

    traceback = caught(body, tmp_path).text
    assert "several" in traceback and "KeyError: 'member'" in traceback
    assert 'File "member.py", line 2' in traceback


class LossyStore(DirectoryArtifactStore):
    """A store whose connection fails when a value is stored."""

    def upload(self, key: str, content: Parts) -> None:
        raise ConnectionError("the store hung up")


class DeniedStore(LossyStore):
    def create(self, key: str, data: bytes) -> bool:
        raise ConnectionError("the store hung up on the result too")


@pytest.fixture
def restored_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Undo the changes that a job makes to its process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.mark.usefixtures("restored_process")
def test_an_error_of_the_store_fails_the_job_but_blames_no_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    @step(outputs=["n"])
    def give() -> int:
        return 1

    run = WrittenRun(tmp_path, give)
    attempt = Attempt.begin(run.spec(), LossyStore(tmp_path / "store"), 1)
    result = run_job(attempt, tmp_path / "job", Interruption(), 1.0, str)
    assert result == run.result()
    assert result.state == "failed"
    assert result.failure is not None
    assert result.failure.kind == "ConnectionError"
    assert "the store hung up" in result.failure.text
    assert result.steps[0].failure is None
    assert "the store hung up" in capfd.readouterr().err


@pytest.mark.usefixtures("restored_process")
def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    @step(outputs=["n"])
    def give() -> int:
        return 1

    run = WrittenRun(tmp_path, give)
    attempt = Attempt.begin(run.spec(), DeniedStore(tmp_path / "store"), 1)
    with pytest.raises(ConnectionError, match="on the result too"):
        run_job(attempt, tmp_path / "job", Interruption(), 1.0, str)


@pytest.mark.contract
def test_a_job_that_cannot_commit_does_not_look_like_success(tmp_path: Path) -> None:
    @step(outputs=["n"])
    def blocks() -> int:
        result.mkdir(parents=True)
        return 1

    result = tmp_path / "store" / RunLayout(RUN).result("blocks")
    ended = WrittenRun(tmp_path, blocks).run()
    assert ended.code == 11
    assert "the job failed without a result" in ended.log
    assert f"The result can't be written to {result.as_uri()}" in ended.log
