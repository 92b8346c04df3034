"""Processes that a step forks with `os.fork` end where the step ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flowyml_aws import step
from flowyml_aws.core.step import Step
from tests.runtime.harness import Ended, WrittenRun

pytestmark = pytest.mark.contract


def returns() -> str:
    return "child"


def exits_with(code: Any) -> Callable[[], NoReturn]:
    def child() -> NoReturn:
        sys.exit(code)

    return child


def raises() -> NoReturn:
    raise RuntimeError("only in the child")


def registers_an_exit_handler() -> str:
    atexit.register(lambda: print("the exit handler ran"))
    return "child"


def forking(child: Callable[[], Any], **options: Any) -> Step:
    """Return a step whose child does something, and whose own value is the child's exit code."""

    @step(outputs=["code"], **options)
    def forks() -> Any:
        pid = os.fork()
        if pid == 0:
            return child()
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    return forks


def lines_of_runner(ended: Ended, text: str) -> int:
    return sum(line.startswith("[flowyml-aws]") and text in line for line in ended.log.splitlines())


@pytest.mark.parametrize(
    ("child", "code"),
    [
        (returns, 0),
        (exits_with(None), 0),
        (exits_with(0), 0),
        (exits_with(7), 7),
        (exits_with(-1), 255),
        (exits_with("a message"), 1),
        (raises, 1),
    ],
    ids=["return", "exit", "exit-0", "exit-7", "exit-negative", "exit-message", "raise"],
)
def test_a_child_ends_with_the_exit_code_of_a_python_process_and_only_the_parent_reports(
    tmp_path: Path, child: Callable[[], Any], code: int
) -> None:
    run = WrittenRun(tmp_path, forking(child))
    ended = run.run()
    assert ended.code == 0, ended.log
    assert run.value("code") == code
    assert lines_of_runner(ended, "forks: started") == 1
    assert lines_of_runner(ended, "forks: succeeded") == 1
    assert lines_of_runner(ended, "failed") == 0


def test_a_child_prints_its_traceback_without_the_runners_frames(tmp_path: Path) -> None:
    ended = WrittenRun(tmp_path, forking(raises)).run()
    assert ended.code == 0
    assert "RuntimeError: only in the child" in ended.log
    assert "flowyml_aws/runtime" not in ended.log


def test_a_child_runs_its_exit_handlers_and_flushes_its_output(tmp_path: Path) -> None:
    ended = WrittenRun(tmp_path, forking(registers_an_exit_handler)).run(PYTHONUNBUFFERED="")
    assert ended.log.count("the exit handler ran") == 1


def test_a_child_of_a_condition_ends_there_too(tmp_path: Path) -> None:
    def forks() -> bool:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        return pid == 0  # False in the parent

    @step(outputs=["x"], condition=forks)
    def conditional() -> str:
        return "ran"

    run = WrittenRun(tmp_path, conditional)
    ended = run.run()
    assert ended.code == 0
    assert list(run.result().skipped) == ["x"]
    assert lines_of_runner(ended, "conditional: started") == 0


def test_a_child_of_a_step_with_a_timeout_and_retries_is_not_retried(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, forking(raises, timeout=30, retry=2, retry_delay=0))
    ended = run.run()
    assert run.value("code") == 1
    assert lines_of_runner(ended, "retrying") == 0


def test_later_steps_of_the_job_find_their_files_after_a_child_has_ended(tmp_path: Path) -> None:
    @step(outputs=["file"], execution_group="one")
    def write() -> Path:
        path = tmp_path / "data.txt"
        path.write_text("content", "utf-8")
        return path

    @step(inputs=["file"], outputs=["text"], execution_group="two")
    def read(file: Path) -> str:
        if (pid := os.fork()) == 0:
            sys.exit(0)
        os.waitpid(pid, 0)
        return file.read_text("utf-8")

    run = WrittenRun(tmp_path, write, read)
    assert run.run("one").code == 0
    assert run.run("two").code == 0
    assert run.value("text", "two") == "content"


def test_a_child_that_outlives_its_step_reports_nothing_and_reads_no_later_value(
    tmp_path: Path,
) -> None:
    @step(outputs=["pipe"], execution_group="g")
    def leaves_a_child() -> list[int]:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(writer)
            os.read(reader, 1)  # until the parent closes its end, in the next step
            return [0]
        return [writer]

    @step(inputs=["pipe"], outputs=["done"], execution_group="g")
    def goes_on(pipe: list[int]) -> str:
        os.close(pipe[0])
        os.wait()
        return "parent"

    run = WrittenRun(tmp_path, leaves_a_child, goes_on)
    ended = run.run()
    assert ended.code == 0, ended.log
    assert run.value("done") == "parent"
    assert lines_of_runner(ended, "goes_on: succeeded") == 1
