"""Clients that are forks of a warm process are what new Pythons with the same arguments are."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from tests.support.clients import new_pythons
from tests.support.rigs import DEADLINE_S, BackendRig

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(sys.platform != "linux", reason="clients are forked"),
]

WARM = "flowyml_aws.warm.server"
PROBE = """
import json, os, sys
main = sys.modules["__main__"]
print(json.dumps({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "cwd": os.getcwd(),
    "names": sorted(set(vars(main)) - {"__annotations__"}), "is main": vars(main) is globals(),
    "file": vars(main).get("__file__"), "package": main.__package__,
    "spec": main.__spec__ and main.__spec__.name,
    "loader": str(main.__loader__).partition(" at ")[0],
    "name": os.environ["NAME"], "input": sys.stdin.read(), "streams": sys.stdout.line_buffering,
    "tests": sorted(name for name in sys.modules if name.startswith("tests")),
}), file=sys.stderr if "err" in sys.argv else sys.stdout)
if "warm" in sys.argv:
    print("flowyml_aws.warm.server" in sys.modules)
    sys.exit(3)
1 / 0
"""
# Leaves a thread, handlers, objects and an open file to the end of the interpreter.
ENDING = """
import atexit, signal, sys, threading, time
class Value:
    def __init__(self, name):
        self.name = name
    def __del__(self):
        print("freed", self.name, end=" ", file=sys.stderr)
value, file = Value("of a module"), open("left.txt", "w")
file.write("written")
atexit.register(lambda: print("first handler", end=" ", file=sys.stderr))
atexit.register(lambda: print("last handler", end=" ", file=sys.stderr))
def end():
    time.sleep(0.1)
    print("thread", end=" ", file=sys.stderr)
def wait():
    while True:
        time.sleep(0.001)
threading.Thread(target=end).start()
print("output", end="")
"""
ENDS = {
    "return": "",
    "exit code": "sys.exit(263)",
    "exit without a code": "sys.exit()",
    "message": "sys.exit('failed')",
    "exception": "1 / 0",
    "interrupted": "signal.raise_signal(signal.SIGINT)",
    "thread": "threading.Thread(target=wait, daemon=True).start()",
    "closed stream": "sys.stdout.close()",
    "full stream": "sys.stdout = open('/dev/full', 'w'); print()",
}
PROGRAMS = {
    "file": (["tools/probe.py", "x"], None),
    "module": (["-m", "tools.probe", "x", "err"], None),
    "package": (["-m", "tools"], None),
    "code": (["-c", PROBE, "x"], "typed"),
    "input": (["-", "x"], PROBE),
    "only input": ([], PROBE),
}


@pytest.fixture
def rig(tmp_path: Path) -> BackendRig:
    """A project with a program, after a first client: the next ones are forks."""
    rig = BackendRig("local", tmp_path / "project", {"NAME": "ä"})
    tools = rig.folder / "tools"
    tools.mkdir()
    for name in ("probe", "__main__"):
        (tools / f"{name}.py").write_text(PROBE)
    with rig.client("-c", "pass") as first:
        first.wait(DEADLINE_S)
    return rig


def end_of(rig: BackendRig, name: str, *more: str) -> tuple[int | None, str, list[str]]:
    arguments, script = PROGRAMS[name]
    with rig.client(*arguments, *more, script=script) as client:
        out, err = client.communicate(DEADLINE_S)
    # `runpy` runs modules, which is not a part of the program.
    shown = [line for line in err.splitlines() if "<frozen runpy>" not in line]
    return client.returncode, out, shown


@pytest.mark.parametrize("end", ENDS)
def test_a_fork_ends_as_a_new_python(rig: BackendRig, end: str) -> None:
    found = []
    for way in (nullcontext, new_pythons):
        with way(), rig.client("-c", ENDING + ENDS[end]) as client:
            out, err = client.communicate(DEADLINE_S)
        shown = err.splitlines()[-1]  # tracebacks of interrupted forks have more frames
        found.append((client.returncode, out, shown, (rig.folder / "left.txt").read_text()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_fork_is_the_program_that_its_arguments_name(rig: BackendRig, name: str) -> None:
    forked = end_of(rig, name)
    with new_pythons():
        assert forked == end_of(rig, name)
    code, out, err = forked
    assert code == 1
    assert err[-1] == "ZeroDivisionError: division by zero"
    assert json.loads(out or err[0])["name"] == "ä"


def test_a_fork_has_the_exit_code_of_its_program(rig: BackendRig) -> None:
    code, out, _ = end_of(rig, "file", "warm")
    assert (code, out.splitlines()[-1]) == (3, "True")
    with new_pythons():
        code, out, _ = end_of(rig, "file", "warm")
    assert (code, out.splitlines()[-1]) == (3, "False")


SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_fork_as_it_ends_a_new_python(
    rig: BackendRig, number: signal.Signals
) -> None:
    for kind in (nullcontext, new_pythons):
        with kind(), rig.client("-c", SLEEP) as client:
            assert client.stdout.readline() == "ready\n"
            assert psutil.Process(client.pid).cmdline()[1:2] == ["-c"]
            client.send_signal(number)
            assert client.wait(DEADLINE_S) == -number


FORKS = f"""
import os, sys
from pathlib import Path
from flowyml_aws import Pipeline, step

with Path({{file!r}}).open("a") as file:
    print({WARM!r} in sys.modules, file=file)

@step(outputs=["command"])
def work():
    return Path("/proc/self/cmdline").read_text().split(chr(0))[0]

if __name__ == "__main__":
    print(Pipeline("p").add_step(work).run(progress=False)["command"])
"""


def test_the_trial_load_and_the_jobs_of_a_fork_are_forks(rig: BackendRig, tmp_path: Path) -> None:
    file = tmp_path / "starts"
    (rig.folder / "flow.py").write_text(FORKS.format(file=str(file)))
    with rig.client("flow.py") as client:
        out, err = client.communicate(DEADLINE_S)
    assert file.read_text().splitlines() == ["True"] * 3, err  # client, trial load and job
    assert " -m flowyml_aws.job file:///" in out
