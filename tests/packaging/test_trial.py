"""Loading of the program on the client, as its jobs load it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from flowyml_aws.code.bindings import Binding
from flowyml_aws.code.states import State
from flowyml_aws.core.errors import PipelineFileError
from flowyml_aws.packaging.bundle import make_bundle
from flowyml_aws.packaging.payload import StepPayload
from flowyml_aws.packaging.project import Project, project_files
from flowyml_aws.packaging.snapshot import snapshot_files
from flowyml_aws.packaging.survey import Survey, SurveyedBinding
from flowyml_aws.packaging.trial import TrialLoad, TrialRequest, environment_of_jobs
from flowyml_aws.runtime.payload import PackedSteps, Payload
from flowyml_aws.runtime.program import Program
from flowyml_aws.scripts import PROGRAM_VARIABLE, Script
from tests.support.rigs import eventually

Start = Callable[..., TrialLoad]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's project, outside the folder of temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start loading a script with other files of the project."""
    with ExitStack() as stack:

        def start(
            script: str,
            names: tuple[str, ...] = (),
            *,
            in_place: bool = True,
            limit_s: float = 60,
            client: Mapping[str, str] = os.environ,
            env: Mapping[str, str] | None = None,
            **modules: str,
        ) -> TrialLoad:
            for name, text in {"flow": script, **modules}.items():
                (folder / f"{name}.py").write_text(textwrap.dedent(text))
            project = Project(folder, folder, (folder,))
            files = snapshot_files(project, {}) if in_place else project_files(folder).paths
            module = Script("flow.py").module
            unread = SurveyedBinding(State(""), None, by_source=False, is_attribute=False)
            request = TrialRequest(
                bundle=make_bundle(files),
                program=Program(paths=(".",), script="flow.py"),
                root=folder,
                in_place=in_place,
                survey=Survey({Binding(module, name): unread for name in names}, {}),
                given=None,
                environment=environment_of_jobs(in_place, client, env or {}),
                limit_s=limit_s,
            )
            return stack.enter_context(TrialLoad(request))

        yield start


def failure(trial: TrialLoad) -> PipelineFileError:
    with pytest.raises(PipelineFileError) as caught:
        trial.states()
    assert caught.value.what == "The program can't be loaded as its jobs load it: flow.py"
    return caught.value


def payload(pickled: bytes) -> StepPayload:
    return StepPayload(pickle.dumps(PackedSteps({}, pickled)))


class Fails:
    """Fails when it is unpickled."""

    def __reduce__(self) -> Any:
        return int, ("three",)


class Hangs:
    """Waits indefinitely when it is unpickled."""

    def __reduce__(self) -> Any:
        return signal.pause, ()


on_each_kind_of_machine = pytest.mark.parametrize("in_place", [True, False])


@pytest.mark.contract
@on_each_kind_of_machine
def test_the_states_of_names_are_those_of_the_loaded_program(in_place: bool, start: Start) -> None:
    trial = start(
        """
        import threading, datetime
        A, LOCK, NOW = 1, threading.Lock(), datetime.datetime.now()
        class Model:
            rate = 1
        if __name__ == "__main__":
            A, LATER = 2, 3
        """,
        ("A", "LOCK", "NOW", "Model.rate", "Model.missing", "LATER"),
        in_place=in_place,
    )
    states = {b.name: s and (s.is_comparable, s.has_moment) for b, s in trial.states().items()}
    assert states == {
        "A": (True, False),
        "LOCK": (False, False),
        "NOW": (True, True),
        "Model.rate": (True, False),
        "Model.missing": None,
        "LATER": None,
    }


@pytest.mark.contract
@on_each_kind_of_machine
def test_an_error_of_the_script_names_its_line(in_place: bool, start: Start) -> None:
    error = failure(start("a = 1\n\nraise ValueError('broken')", in_place=in_place))
    assert error.why == "flow.py, line 3: ValueError: broken"
    assert '__name__ == "__main__"' in error.fix or "include" in error.fix


@pytest.mark.contract
@on_each_kind_of_machine
def test_an_error_of_a_module_names_its_line(in_place: bool, start: Start) -> None:
    trial = start("import settings", settings="\nraise ValueError('broken')", in_place=in_place)
    assert failure(trial).why == "settings.py, line 2: ValueError: broken"


@pytest.mark.contract
def test_an_error_inside_python_names_the_users_line(start: Start) -> None:
    error = failure(start("import pathlib\npathlib.Path('missing').read_text()"))
    assert error.why.startswith("flow.py, line 2: FileNotFoundError: ")


@pytest.mark.contract
def test_an_error_without_a_message_is_reported(start: Start) -> None:
    error = failure(
        start(
            """
            class Silent(Exception):
                def __str__(self):
                    raise ValueError
            raise Silent
            """
        )
    )
    assert error.why == "flow.py, line 5: Silent: <unprintable Silent>"


@pytest.mark.contract
def test_a_script_that_exits_gets_the_advice_to_guard_it(start: Start) -> None:
    error = failure(start("import sys\nsys.exit(3)", in_place=False))
    assert error.why == "flow.py, line 2: SystemExit: 3"
    assert error.fix == 'move what ends the program under `if __name__ == "__main__":`'


@pytest.mark.contract
def test_a_missing_module_is_named(start: Start) -> None:
    error = failure(start("import absent_package", in_place=False))
    assert error.why == "flow.py, line 1: ModuleNotFoundError: No module named 'absent_package'"
    assert error.fix == "add the module 'absent_package' to the project, or to `include`"


@pytest.mark.contract
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os._exit(3)", "its process ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "its process ended with signal 9"),
    ],
)
def test_a_crash_is_reported_with_the_output(end: str, reason: str, start: Start) -> None:
    error = failure(start(f"import os\nprint('before the crash', flush=True)\n{end}"))
    assert error.why == reason
    assert error.fix == "see its output:\nbefore the crash"


@pytest.mark.contract
def test_the_output_of_a_program_that_loads_is_not_shown(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    trial = start("import os, sys\nprint('a')\nos.write(1, b'b')\nprint('c', file=sys.stderr)")
    assert trial.states() == {}
    assert capfd.readouterr() == ("", "")


@pytest.mark.contract
def test_a_program_that_does_not_end_is_stopped_at_the_limit(start: Start) -> None:
    error = failure(start("import threading\nthreading.Event().wait()", limit_s=0.5))
    assert error.why == "it did not finish within 0.5 s"
    assert "under `if __name__" in error.fix


@pytest.mark.contract
def test_a_payload_that_does_not_load_in_time_is_one_error(start: Start) -> None:
    trial = start("", limit_s=5)
    trial.states()
    errors = []
    for data in (Hangs(), 1, 2):
        with pytest.raises(PipelineFileError) as caught:
            trial.load(payload(pickle.dumps(data)))
        errors.append(str(caught.value))
    assert len(set(errors)) == 1 and "it did not finish within 5 s" in errors[0]


@pytest.mark.contract
def test_the_program_has_no_standard_input(start: Start) -> None:
    error = failure(start("input()"))
    assert error.why == "flow.py, line 1: EOFError: EOF when reading a line"


@pytest.mark.contract
def test_a_file_that_only_the_client_has_is_named(start: Start, folder: Path) -> None:
    outside = folder.parent / "data.csv"
    outside.write_text("a")
    script = f"from pathlib import Path\nDATA = Path({str(outside)!r}).read_text()"
    error = failure(start(script, in_place=False))
    assert error.why == f"its top level reads files that jobs do not have: {outside}"
    assert "`include`" in error.fix
    assert start(script, in_place=True).states() == {}


@pytest.mark.contract
def test_files_of_the_project_of_packages_and_of_the_program_itself_may_be_read(
    start: Start, folder: Path
) -> None:
    (folder / "data.csv").write_text("a")
    trial = start(
        """
        import os, tempfile
        from pathlib import Path
        import pydantic
        (Path(__file__).parent / "data.csv").read_text()
        Path("data.csv").read_text()
        Path(pydantic.__file__).read_text()
        Path(os.__file__).read_text()
        own = Path(tempfile.gettempdir(), "made-by-the-program")
        own.write_text("a")
        own.read_text()
        descriptor, name = tempfile.mkstemp()
        os.write(descriptor, b"a")
        Path(name).read_text()
        """,
        in_place=False,
    )
    assert trial.states() == {}


@pytest.mark.contract
def test_modules_that_only_the_client_has_are_missing(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "only_here.py").touch()
    monkeypatch.syspath_prepend(str(elsewhere))
    monkeypatch.setenv("PYTHONPATH", f"{elsewhere}:{os.environ.get('PYTHONPATH', '')}")
    assert start("import only_here", in_place=True).states() == {}
    assert "'only_here'" in failure(start("import only_here", in_place=False)).fix


@pytest.mark.contract
def test_on_aws_the_program_has_the_variables_of_jobs_only(start: Start) -> None:
    client = {**os.environ, "ONLY_HERE": "1", "TZ": "Asia/Tokyo"}
    script = """
        import os
        assert os.environ["GIVEN"] == "yes" and os.environ["TZ"] == "UTC", os.environ
        assert os.environ["FLOWYML_AWS_LOADING"] == "1"
        os.environ["ONLY_HERE"]
    """
    error = failure(start(script, in_place=False, client=client, env={"GIVEN": "yes"}))
    assert error.why == "flow.py, line 5: KeyError: 'ONLY_HERE'"


@pytest.mark.contract
def test_a_variable_that_only_the_client_has_is_named(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_HERE", "1")
    error = failure(start("import os\nos.environ['ONLY_HERE']", in_place=False))
    assert error.fix == "ONLY_HERE is set only on this machine: pass it with env={'ONLY_HERE': …}"


@pytest.mark.contract
def test_in_place_the_program_has_the_variables_of_the_client(start: Start) -> None:
    client = {**os.environ, "ONLY_HERE": "1", "BOTH": "client", PROGRAM_VARIABLE: "of a job"}
    script = f"""
        import os
        assert (os.environ["ONLY_HERE"], os.environ["BOTH"]) == ("1", "given")
        assert {PROGRAM_VARIABLE!r} not in os.environ
        assert os.environ["FLOWYML_AWS_LOADING"] == "1"
    """
    assert start(script, client=client, env={"BOTH": "given"}).states() == {}


def test_jobs_on_aws_get_no_variables_of_the_client_but_those_of_the_machine() -> None:
    client = {"PATH": "/bin", "HOME": "/root", "SECRET": "1", "TZ": "Asia/Tokyo", "LC_TIME": "x"}
    assert environment_of_jobs(False, client, {"A": "1"}) == {
        "PATH": "/bin",
        "HOME": "/root",
        "A": "1",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.contract
def test_a_payload_that_jobs_cannot_load_is_a_problem(start: Start) -> None:
    trial = start("import os", module="")
    trial.states()
    loads = payload(pickle.dumps(Payload({}, {})))
    assert trial.load(loads) == {}
    for pickled, reason in (
        (pickle.dumps(Payload({}, {"x": Fails()})), "invalid literal for int"),
        (b"\x80\x04cabsent_module\nname\n.", "absent_module"),
        (b"\x80\x04cmodule\nabsent_name\n.", "absent_name"),
    ):
        with pytest.raises(PipelineFileError) as caught:
            trial.load(payload(pickled))
        assert reason in caught.value.what
    assert trial.load(loads) == {}


@pytest.mark.contract
@pytest.mark.parametrize("end", ["", "\nthreading.Event().wait()"])
def test_nothing_is_left_after_a_load(end: str, start: Start, folder: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    marker = folder / "started"
    trial = start(
        "import pathlib, subprocess, sys, threading\n"
        f"subprocess.Popen([{sys.executable!r}, '-c', "
        "'import threading; threading.Event().wait()'])\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        f"pathlib.Path({str(marker)!r}).touch(){end}"
    )
    eventually(marker.exists)
    started = set(psutil.Process().children(recursive=True)) - before
    trial.close()
    eventually(lambda: not any(map(is_alive, started)), "the end of the processes")
    assert list((folder.parent / "temporary").iterdir()) == []


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
