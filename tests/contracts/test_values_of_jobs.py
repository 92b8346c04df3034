"""Values that jobs get from the client, and values that each job evaluates on its machine."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import Any

import pytest

from flowyml_aws.artifacts.layout import RUNS
from flowyml_aws.runtime.result import read_result
from flowyml_aws.services.connect import find_run
from tests.contracts.conftest import BACKENDS
from tests.contracts.test_program import PROGRAM, on_each_kind_of_machine
from tests.support.rigs import DEADLINE_S, BackendRig

on_batch = pytest.mark.parametrize("rig", BACKENDS[1:2], indirect=True)
on_this_machine = pytest.mark.parametrize("rig", BACKENDS[:1], indirect=True)


def run(rig: BackendRig, script: str, **variables: str) -> Any:
    """Run a script as a client, and return the JSON value in the last line of its output."""
    (rig.folder / "flow.py").write_text(textwrap.dedent(script))
    return run_file(rig, "flow.py", **variables)


def run_file(rig: BackendRig, file: str, **variables: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TEST_BACKEND": rig.backend, **variables}.items():
            patch.setenv(name, value)
        with rig.client(file) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@on_each_kind_of_machine
def test_every_job_has_the_objects_as_the_program_changed_them(rig: BackendRig) -> None:
    for name in ("changes", "library"):
        shutil.copy(PROGRAM / f"{name}.py", rig.folder)
    seen = run_file(rig, "changes.py")
    client = seen["client"]
    for job in ("first", "second"):
        assert {name: seen[job][name] for name in client if seen[job][name] != client[name]} == {}


FROM_ENVIRONMENT = """
import functools, json, os
from pathlib import Path
from flowyml_aws import Pipeline, step

LEVEL = int(os.environ.get("LEVEL", "1"))
FOLDER = Path(__file__).parent
FILES = {FOLDER / "a", Path("/data/a/long/name")}

class Model:
    level = LEVEL
    path = Path(os.environ.get("LEVEL", "1"))

    @staticmethod
    def static(x=LEVEL):
        return x

    @functools.lru_cache
    def cached(self, x=LEVEL):
        return x

@functools.lru_cache
def cached(x=LEVEL):
    return x

@functools.singledispatch
def kind(x, level=LEVEL):
    return level

def make(n):
    def inner():
        return n
    return inner

closure = make(LEVEL)
Made = type("AnotherName", (), {"level": LEVEL})

def default(x=LEVEL):
    return x

class Method:
    def method(self, x=LEVEL):
        return x

HANDLERS, BOUND = [default], Method().method

def calls(function=default):
    return function()

def read():
    return [LEVEL, HANDLERS[0](), HANDLERS[0] is default, BOUND(), calls(),
            Model.level, str(Model.path), Model.static(), Model().cached(),
            cached(), kind(1), closure(), Made.level]

@step(outputs=["seen", "folder", "files"])
def work():
    return read(), FOLDER.samefile(os.getcwd()), FOLDER / "a" in FILES

if __name__ == "__main__":
    result = Pipeline("p").add_step(work).run(backend=os.environ["TEST_BACKEND"], progress=False)
    outputs = [result[name] for name in ("seen", "folder", "files")] if result.success else []
    print(json.dumps([read(), *outputs] if result.success else result.summary()))
"""


@on_batch
def test_values_made_from_the_clients_environment_are_the_clients(rig: BackendRig) -> None:
    """Also if the program is started through a symbolic link; paths are those of the job."""
    link = rig.folder.with_name("link")
    link.symlink_to(rig.folder)
    (rig.folder / "flow.py").write_text(FROM_ENVIRONMENT)
    client, job, has_own_folder, has_own_files = run_file(rig, f"{link}/flow.py", LEVEL="9")
    assert client == [9, 9, True, 9, 9, 9, "9", 9, 9, 9, 9, 9, 9]
    assert job == client
    assert has_own_folder and has_own_files


WHERE = """
import json, os
from flowyml_aws import Pipeline, step

WHERE = os.environ.get("AWS_BATCH_JOB_ID") or os.environ.get("TRAINING_JOB_NAME") or "laptop"
SAME = "same"

@step(outputs=["where"])
def work():
    return WHERE, SAME

if __name__ == "__main__":
    run = Pipeline("p").add_step(work).submit(backend=os.environ["TEST_BACKEND"])
    result = run.wait()
    print(json.dumps({
        "id": run.id,
        "where": result["where"][0],
        "log": [line.message for view in result.status.jobs for line in run.logs(view.job.name)],
    }, default=str))
"""


@on_batch
def test_a_value_that_is_different_in_the_job_is_reported_and_limits_the_cache(
    rig: BackendRig,
) -> None:
    first = run(rig, WHERE)
    assert first["where"] != "laptop"
    assert any(line.endswith("than on the client: flow.WHERE") for line in first["log"])
    assert changed_values(first["id"]) == {"flow.WHERE"}
    other = run(rig, WHERE, TEST_BACKEND="sagemaker")
    assert other["where"] not in (first["where"], "laptop")
    again = run(rig, WHERE, TEST_BACKEND="sagemaker")
    assert again["where"] == other["where"]  # from the cache


def changed_values(run_id: str) -> set[str]:
    """Return the names of values that were different in the job of a run."""
    result = read_result(find_run(run_id).store, run_id, "work")
    assert result is not None
    return set(result.changed)


@on_batch
def test_the_user_decides_which_names_are_carried_and_which_are_evaluated(rig: BackendRig) -> None:
    seen = run(
        rig,
        """
        import json, os, threading
        from flowyml_aws import Pipeline, step

        WHERE = os.environ.get("AWS_BATCH_JOB_ID", "laptop")
        RATE, LOCK = 1, None

        def connect():
            global LOCK
            LOCK = threading.Lock()

        connect()

        @step(outputs=["where", "rate", "locked"])
        def work():
            with LOCK:
                return WHERE, RATE, LOCK.locked()

        if __name__ == "__main__":
            RATE = 2
            pipeline = Pipeline("p", carry=["WHERE"], evaluate=["RATE", "LOCK"]).add_step(work)
            result = pipeline.run(backend=os.environ["TEST_BACKEND"], progress=False)
            names = ("where", "rate", "locked")
            print(json.dumps({n: result[n] for n in names} if result.success else result.summary()))
        """,
    )
    assert seen == {"where": "laptop", "rate": 1, "locked": True}


@on_this_machine
def test_all_values_that_jobs_cannot_have_are_in_one_report(rig: BackendRig) -> None:
    (rig.folder / "connections.py").write_text("import threading\nLOCK, OTHER = None, 1")
    seen = run(
        rig,
        """
        import json, threading
        from flowyml_aws import Pipeline, step
        from flowyml_aws.core.errors import InvalidPipelineError
        import connections

        POOL = {"lock": threading.Lock(), "size": 1}
        FINE = threading.Lock()

        class Lossy:
            def __init__(self):
                self.kept, self.lost = 1, 1

            def __getstate__(self):
                return {"kept": self.kept}

            def __setstate__(self, state):
                self.kept, self.lost = state["kept"], 1

        LOSSY = Lossy()

        class Client:
            connection = None
            fine = threading.Lock()

        @step
        def first():
            return POOL, FINE, LOSSY.lost

        @step
        def second():
            return Client.connection, Client.fine, connections.LOCK, LATER

        if __name__ == "__main__":
            POOL["size"] = LOSSY.lost = 2
            LATER = Client.connection = connections.LOCK = threading.Lock()
            try:
                Pipeline("p").add_steps([first, second]).run()
            except InvalidPipelineError as error:
                print(json.dumps([problem.what for problem in error.problems]))
        """,
    )
    assert sorted(line.partition(",")[0] for line in seen) == [
        f"The steps use {name!r}"
        for name in ("Client.connection", "LATER", "LOCK", "LOSSY", "POOL")
    ]
    assert not (rig.folder / ".flowyml" / "aws" / RUNS).exists()
