"""A job is the program that the user ran: on each backend, and in each way to start a program."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.contracts.conftest import BACKENDS
from tests.support.rigs import DEADLINE_S, BackendRig

PROGRAM = Path(__file__).parents[1] / "support" / "program"
ARGUMENTS = ("--rate", "0.25")


def _local_only(backend: object) -> list[pytest.MarkDecorator]:
    return [pytest.mark.version_sensitive] if backend == "local" else []


on_this_machine = pytest.mark.parametrize("rig", BACKENDS[:1], indirect=True)
# Batch and SageMaker differ only in how they start the runner.
on_each_kind_of_machine = pytest.mark.parametrize("rig", BACKENDS[:2], indirect=True)
# The tests of every kind of object show on each change that a job on AWS has what a local job has.
on_this_machine_first = pytest.mark.parametrize(
    "rig",
    [
        BACKENDS[0],
        pytest.param(*BACKENDS[1].values, marks=[*BACKENDS[1].marks, pytest.mark.thorough]),
    ],
    indirect=True,
)


# Loading and pickling depend on the version of Python, not on the backend.
on_each_backend = pytest.mark.parametrize(
    "rig",
    [pytest.param(*p.values, marks=[*p.marks, *_local_only(p.values[0])]) for p in BACKENDS],
    indirect=True,
)


def seen_by(rig: BackendRig, *command: str) -> dict[str, object]:
    """Run Python with a command that prints a JSON object at its end, and return the object."""
    rig_environment = {"TEST_BACKEND": rig.backend, "TEST_LEVEL": "9"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in rig_environment.items():
            patch.setenv(name, value)
        with rig.client(*command) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    document = json.loads(out.splitlines()[-1])
    assert isinstance(document, dict)
    return document


def wrong(seen: dict[str, object]) -> dict[str, object]:
    return {name: outcome for name, outcome in seen.items() if outcome not in ("right", True)}


@on_each_backend
def test_a_job_has_every_kind_of_object_of_a_script(rig: BackendRig) -> None:
    for file in PROGRAM.glob("*.py"):
        shutil.copy(file, rig.folder)
    seen = seen_by(rig, "kinds.py", *ARGUMENTS)
    assert len(seen) > 40
    assert wrong(seen) == {}


@on_each_kind_of_machine
def test_a_job_has_every_kind_of_object_of_a_module_that_python_runs(rig: BackendRig) -> None:
    package = rig.folder / "app" / "flows"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    for file in PROGRAM.glob("*.py"):
        text = file.read_text("utf-8").replace("import plugin", "from . import plugin")
        text = text.replace("import registry\n", "from app.flows import registry\n")
        (package / file.name).write_text(text.replace("import settings", "from . import settings"))
    assert wrong(seen_by(rig, "-m", "app.flows.kinds", *ARGUMENTS)) == {}


UNGUARDED = """
import json, os
from flowyml_aws import Pipeline, step

backend = os.environ.get("TEST_BACKEND")

@step(outputs=["a"])
def first():
    return 20

one = Pipeline("one").add_step(first).run(backend=backend, progress=False)
VALUE = one["a"] + 1

def helper():
    return 2

@step(outputs=["b"])
def second():
    return VALUE * helper()

def main():
    two = Pipeline("two").add_step(second).run(backend=backend, progress=False)
    both = Pipeline("both").add_steps([first, second]).run(backend=backend, progress=False)
    print(json.dumps({"two": two["b"], "both": [both["a"], both["b"]]}))

main()
"""


@on_this_machine_first
def test_runs_without_a_guard_may_use_values_of_earlier_runs(rig: BackendRig) -> None:
    (rig.folder / "flow.py").write_text(UNGUARDED)
    assert seen_by(rig, "flow.py") == {"two": 42, "both": [20, 42]}


POOLS = """
import json, multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
from flowyml_aws import Pipeline, step
from joblib import Parallel, delayed

RATE, LARGE = 1, b""
backend = os.environ.get("TEST_BACKEND")

class Point:
    def __init__(self, x):
        self.x = x

def scaled(x):
    return Point(x * RATE + len(LARGE) % 1000)

@step(outputs=["found"], timeout=120)
def pools():
    found = {}
    for method in ("fork", "forkserver", "spawn"):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
            points = list(pool.map(scaled, [1, 2]))
        found[method] = [isinstance(p, Point) and p.x for p in points]
    points = Parallel(n_jobs=2)(delayed(scaled)(x) for x in [1, 2])
    found["loky"] = [isinstance(p, Point) and p.x for p in points]
    return found

if __name__ == "__main__":
    RATE, LARGE = 10, bytes(2**24 + 1)  # not in the payload, but an object of its own
    result = Pipeline("p").add_step(pools).run(backend=backend, progress=False)
    print(json.dumps(result["found"] if result.success else result.summary()))
"""


@on_this_machine_first
def test_process_pools_of_every_kind_use_the_values_of_the_job(rig: BackendRig) -> None:
    (rig.folder / "flow.py").write_text(POOLS)
    rest = (2**24 + 1) % 1000
    expected = {pool: [10 + rest, 20 + rest] for pool in ("fork", "forkserver", "spawn", "loky")}
    assert seen_by(rig, "flow.py") == expected


DATA_LOADER = """
import json, os
import torch
from flowyml_aws import Pipeline, step

RATE = 1
backend = os.environ.get("TEST_BACKEND")

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.tensor(index * RATE)

def as_list(batch):
    return [int(value) * RATE for value in batch]

@step(outputs=["found"], timeout=300)
def load():
    found = {}
    for method in ("fork", "forkserver", "spawn"):
        loader = torch.utils.data.DataLoader(
            Numbers(), 4, num_workers=2, collate_fn=as_list, multiprocessing_context=method
        )
        found[method] = sum(map(sum, loader))
    return found

if __name__ == "__main__":
    RATE = 10
    result = Pipeline("p").add_step(load).run(backend=backend, progress=False)
    print(json.dumps(result["found"] if result.success else result.summary()))
"""


@on_this_machine
def test_workers_of_a_data_loader_use_the_values_of_the_job(rig: BackendRig) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (up to 3 GB)")
    (rig.folder / "flow.py").write_text(DATA_LOADER)
    assert seen_by(rig, "flow.py") == dict.fromkeys(("fork", "forkserver", "spawn"), 2800)


COMMAND_LINE = """
import decimal, functools, json, multiprocessing, os, sys, threading, uuid
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import plugin, registry
from flowyml_aws import Pipeline, step

ROOT = Path(__file__).resolve().parent
RUN, LOCK, MISSING, SHARED = uuid.uuid4().hex, threading.Lock(), object(), [1]
SAME, RATE = SHARED, float(len(SHARED)) / 4
decimal.getcontext().prec = 5
sys.setrecursionlimit(4321)

@dataclass
class Model:
    run: str
    rate: float

class Base:
    known = []
    def __init_subclass__(cls):
        Base.known.append(cls.__name__)

class Child(Base): ...

@functools.lru_cache
def square(x):
    return x * x

@functools.singledispatch
def kind(value):
    return "other"

@kind.register
def _(value: int):
    return "int"

def lookup(default=MISSING):
    return default is MISSING

@step(outputs=["model"])
def train():
    return Model(RUN, RATE)

@step(inputs=["model"], outputs=["seen"])
def look(model):
    child = os.fork()
    if child == 0:
        return "child"
    os.waitpid(child, 0)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        squares = list(pool.map(square, [1, 2, 3]))
    with LOCK:
        seen = [model == Model(RUN, 0.25), ROOT.samefile(Path(__file__).parent), SAME is SHARED]
        seen += [str(decimal.Decimal(1) / 3), sys.getrecursionlimit(), sorted(registry.CODECS)]
        return [*seen, kind(1), lookup(), Base.known, squares]

pipeline = Pipeline("p").add_steps([train, look])
result = pipeline.run(backend=os.environ.get("TEST_BACKEND"), progress=False, cache=False)
Path("end").touch()
print(json.dumps(dict(result.outputs) if result.success else result.summary(), default=repr))
"""


@on_this_machine_first
def test_the_command_line_gives_the_values_that_python_gives(rig: BackendRig) -> None:
    """Unless the script sets values under the guard, which only Python executes."""
    for file in PROGRAM.glob("*.py"):
        shutil.copy(file, rig.folder)
    (rig.folder / "my flow-1.py").write_text(COMMAND_LINE)
    expected = seen_by(rig, "my flow-1.py")
    assert expected["seen"] == [
        *(True, True, True, "0.33333", 4321, ["plugin"]),
        *("int", True, ["Child"], [1, 4, 9]),
    ]
    (rig.folder / "end").unlink()
    code, out, err = rig.command("run", "my flow-1.py", "--backend", rig.backend, "--no-cache")
    assert code == 0, out + err
    assert not (rig.folder / "end").exists()
    run_id = next(w for w in (out + err).split() if re.match(r"p-\d{8}-", w)).rstrip(":,")
    code, out, err = rig.command("get", run_id, "seen")
    assert (code, json.loads(out)) == (0, expected["seen"]), err
