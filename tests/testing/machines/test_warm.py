"""Jobs that are forked from a warm process see the same environment as in a fresh process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.packaging.starting import ProgramStart, starting_with
from flowyml_aws.planning.environment import container_environment
from flowyml_aws.testing.machines.container import Container
from flowyml_aws.testing.machines.kept_warm import keep, take_kept
from flowyml_aws.testing.machines.process import Processes
from flowyml_aws.testing.machines.warm_programs import WarmPrograms
from flowyml_aws.warm.starter import WarmProcess, WarmStarter
from tests.support.plans import a_job
from tests.support.rigs import BackendRig, eventually, raised_emulator

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(sys.platform != "linux", reason="warm starts need Linux"),
]


WARM_MODULES = {f"flowyml_aws.warm{name}" for name in ("", ".command_line", ".server")}


def observed_environment(
    tmp_path: Path, warm_starts: bool, warm_imports: Sequence[str] = ()
) -> dict[str, Any]:
    with raised_emulator(warm_starts=warm_starts, warm_imports=warm_imports) as aws:
        rig = BackendRig("batch", tmp_path / f"warm_{warm_starts}", aws.environment)
        with rig.entered():
            result = rig.pipeline("probe").run(backend="batch", progress=False)
        assert result.success, result.summary()
        assert result["chance"] != result["other_chance"]
        return dict(result["found"])


def test_a_warm_job_sees_the_same_environment_as_a_cold_job(tmp_path: Path) -> None:
    warm, cold = (observed_environment(tmp_path, warm_starts) for warm_starts in (True, False))
    assert {*warm.pop("modules")} == WARM_MODULES | {
        f"flowyml_aws.testing{name}" for name in ("", ".machines", ".machines.warm_models")
    }
    assert cold.pop("modules") == []
    # Each emulator has its own folder on the path.
    assert len(warm.pop("rest of sys.path")) == len(cold.pop("rest of sys.path"))
    assert warm == cold


def test_a_warm_job_finds_the_requested_modules_imported(tmp_path: Path) -> None:
    observed = observed_environment(tmp_path, True, ["flowyml_aws.testing.capacity"])
    assert "flowyml_aws.testing.capacity" in observed["modules"]


def test_modules_to_import_must_be_installed() -> None:
    with pytest.raises(SettingsError, match=r"not installed: no_such_module\.part"):
        raised_emulator(warm_imports=["sys", "no_such_module.part"])


def test_a_warm_local_job_sees_the_same_environment_as_a_cold_job(
    programs: WarmPrograms, tmp_path: Path
) -> None:
    rig = BackendRig("local", tmp_path / "project")
    found = []
    for _ in range(2):
        with rig.entered(), starting_with(programs):
            result = rig.pipeline("probe").run(progress=False, cache=False)
        assert result.success, result.summary()
        found.append(dict(result["found"]))
    cold, warm = found  # only the second start of a program is worth a warm process
    assert {*warm.pop("modules")} == WARM_MODULES
    assert cold.pop("modules") == []
    # Each run has its own folder on the path.
    assert len(warm.pop("rest of sys.path")) == len(cold.pop("rest of sys.path"))
    assert warm == cold


@pytest.fixture
def processes() -> Any:
    started = Processes({**os.environ}, is_warm=True)
    yield started
    started.stop()


def test_a_warm_job_has_the_exit_code_and_the_output_of_the_runner(
    processes: Processes, tmp_path: Path
) -> None:
    lines: list[str] = []
    job = processes.start(runner(tmp_path, "file:///nowhere"), lines.extend)
    assert job.wait() == 11
    assert any("the job failed without a result" in line for line in lines)


def test_a_warm_start_without_its_process_is_an_error_and_the_next_one_works(
    processes: Processes, tmp_path: Path
) -> None:
    processes.start(runner(tmp_path), lambda _: None).wait()
    assert processes._warm is not None and processes._warm._process is not None
    lost = processes._warm._process
    os.kill(lost.pid, signal.SIGKILL)
    lost.wait()
    with pytest.raises(OSError):
        processes.start(runner(tmp_path), lambda _: None)
    assert processes.start(runner(tmp_path), lambda _: None).wait() == 11


@pytest.mark.parametrize("name", ["PYTHONHASHSEED", "LANG", "LC_TIME", "PYTHONPATH"])
def test_a_job_that_changes_the_interpreter_is_started_cold(
    processes: Processes, tmp_path: Path, name: str
) -> None:
    job = runner(tmp_path)
    changed = replace(job, environment={**job.environment, name: "1"})
    assert processes.start(changed, lambda _: None).wait() == 11
    assert processes._warm is not None and processes._warm._process is None


def test_the_warm_process_is_kept_for_the_next_emulator_with_the_same_settings(
    tmp_path: Path,
) -> None:
    def warm_process(processes: Processes) -> psutil.Process:
        processes.start(runner(tmp_path), lambda _: None).wait()
        assert processes._warm is not None and processes._warm._process is not None
        return psutil.Process(processes._warm._process.pid)

    environment = {**os.environ, "HOME": str(tmp_path)}
    first = Processes(environment, is_warm=True)
    kept = warm_process(first)
    at_the_same_time = Processes(environment, is_warm=True)
    assert warm_process(at_the_same_time) != kept
    at_the_same_time.stop()
    first.stop()
    second = Processes(environment, is_warm=True)
    assert warm_process(second) == kept
    second.stop()
    other = Processes({**environment, "HOME": "/"}, is_warm=True)
    assert not kept.is_running()
    other.stop()


def test_a_fork_does_not_use_the_warm_process_of_its_parent() -> None:
    starter, equal = (WarmStarter({}, "module") for _ in range(2))
    keep(starter)
    if (child := os.fork()) == 0:
        os._exit(0 if take_kept(equal) is equal else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert take_kept(equal) is starter


def runner(folder: Path, *arguments: str) -> Container:
    """Return a container with the environment of a job of this package."""
    environment = container_environment(a_job("train"), "us-east-1")
    command = ["python", "-m", "flowyml_aws.job", *arguments]
    return Container("image", command, environment, folder)


@pytest.fixture
def programs() -> Iterator[WarmPrograms]:
    started = WarmPrograms()
    yield started
    started.stop()


def start_of(module: str, folder: Path) -> ProgramStart:
    return ProgramStart(
        module=module,
        arguments=(),
        cwd=folder,
        env=os.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_warm_process_has_the_interface_of_popen(programs: WarmPrograms, tmp_path: Path) -> None:
    for kind in (subprocess.Popen, WarmProcess):
        process = programs(start_of("flowyml_aws.job", tmp_path))
        assert isinstance(process, kind)
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            assert b"usage: python -m flowyml_aws.job" in process.stdout.read()
        ended = psutil.Process(process.pid)
        assert ended.is_running()  # until its end is reported
        assert eventually(process.poll) == process.wait() == 11
        eventually(partial(_is_gone, ended))


@pytest.mark.parametrize("length", [1, 300])
def test_a_warm_process_has_the_command_line_of_its_program(
    programs: WarmPrograms, tmp_path: Path, length: int
) -> None:
    start = replace(start_of("flowyml_aws.runtime.load", tmp_path), arguments=("x" * length,))
    process = programs.start_warm(start)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:  # waits for a request
        program, *arguments = psutil.Process(process.pid).cmdline()
        assert Path(program).samefile(sys.executable)
        assert arguments == start.command[1:]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_warm_process_whose_folder_is_missing_fails(
    programs: WarmPrograms, tmp_path: Path
) -> None:
    start = replace(start_of("flowyml_aws.job", tmp_path / "missing"), stdin=subprocess.DEVNULL)
    process = programs.start_warm(start)
    assert process.stdout is not None
    with process.stdout:
        assert b"FileNotFoundError" in process.stdout.read()
    assert process.wait() == 1
    eventually(lambda: not psutil.pid_exists(process.pid))


def test_the_exit_code_of_a_warm_process_is_the_signal_that_ended_it(
    programs: WarmPrograms, tmp_path: Path
) -> None:
    for _ in range(2):
        process = programs(start_of("flowyml_aws.runtime.load", tmp_path))
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:  # waits for a request
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL


@pytest.fixture
def adoption() -> Iterator[None]:
    """Let this process adopt the orphans of its children, as init does, and never reap them."""
    prctl, set_child_subreaper = ctypes.CDLL(None).prctl, 36
    prctl(set_child_subreaper, 1)
    yield
    prctl(set_child_subreaper, 0)


def test_a_warm_process_leaves_no_zombie_to_init(
    adoption: None, programs: WarmPrograms, tmp_path: Path
) -> None:
    for _ in range(2):
        process = programs(start_of("flowyml_aws.job", tmp_path))
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            parent = psutil.Process(process.pid).parent()
            process.stdout.read()
        process.wait()
    assert isinstance(process, WarmProcess) and parent is not None
    eventually(partial(_is_gone, parent))
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running()
