from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.runtime.harness import Ended, finish, start_python

pytestmark = pytest.mark.contract


def run_program(folder: Path, text: str) -> Ended:
    """Run a program that uses `end_lingering_threads` until it ends."""
    beginning = """
        import atexit, sys, threading, time
        from flowyml_aws.runtime.lingering import end_lingering_threads
    """
    program = textwrap.dedent(beginning) + textwrap.dedent(text)
    return finish(start_python(["-c", program], folder))


def test_a_thread_that_never_ends_does_not_keep_the_job_running(tmp_path: Path) -> None:
    ended = run_program(
        tmp_path,
        """
        threading.Thread(target=time.sleep, args=(60,), name="poller").start()
        end_lingering_threads(7, 0.1)
        """,
    )
    assert ended.code == 7
    assert "threads of the steps are still running: poller" in ended.log


def test_a_thread_that_ends_in_time_is_not_interrupted(tmp_path: Path) -> None:
    ended = run_program(
        tmp_path,
        """
        def upload():
            time.sleep(0.2)
            print("uploaded")
        threading.Thread(target=upload).start()
        end_lingering_threads(7, 60)
        sys.exit(3)
        """,
    )
    assert (ended.code, ended.log) == (3, "uploaded\n")


def test_exit_handlers_are_not_interrupted(tmp_path: Path) -> None:
    ended = run_program(
        tmp_path,
        """
        @atexit.register
        def finish():
            time.sleep(0.3)
            print("finished")
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        end_lingering_threads(7, 0.05)
        sys.exit(3)
        """,
    )
    assert (ended.code, ended.log) == (3, "finished\n")


def test_a_job_without_other_threads_ends_without_a_timer(tmp_path: Path) -> None:
    ended = run_program(
        tmp_path,
        """
        end_lingering_threads(7, 60)
        print(threading.active_count())
        """,
    )
    assert ended.log == "1\n"
