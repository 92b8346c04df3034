"""Every job of a run uses the code that the run was submitted with, whatever changes meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from textwrap import dedent

import pytest

from tests.contracts.conftest import BACKENDS
from tests.support.rigs import DEADLINE_S, BackendRig

on_this_machine = pytest.mark.parametrize("rig", BACKENDS[:1], indirect=True)
# Batch and SageMaker differ only in how they start the runner.
on_aws = pytest.mark.parametrize("rig", BACKENDS[1:2], indirect=True)
on_each_kind_of_machine = pytest.mark.parametrize("rig", BACKENDS[:2], indirect=True)

# The first job edits all files of the client, each from 1 to 2, and the second job reads them.
FLOW = """
    import json, os, signal, sys
    from pathlib import Path

    import helper
    from package import module
    from spaces import inner
    from flowyml_aws import Pipeline, step

    RATE = 1

    @step(outputs=["first"])
    def edit(folder: str, edits: bool, client: int):
        if client:
            os.kill(client, signal.SIGKILL)
        for file in sorted(Path(folder).rglob("*.py")) if edits else ():
            file.write_text(file.read_text().replace("RATE = 1", "RATE = 2"))
        return helper.rate()

    @step(inputs=["first"], outputs=["rates"])
    def read(first):
        import late
        from package import late as late_module
        from spaces import late as late_inner
        modules = (helper, module, inner, late, late_module, late_inner)
        return [first, RATE, *(module.rate() for module in modules)]

    pipeline = Pipeline("p").add_steps([edit, read])

    if __name__ == "__main__":
        command = sys.argv[1]
        run = pipeline.submit(
            backend=os.environ["TEST_BACKEND"],
            context={
                "folder": str(Path(__file__).parent),
                "edits": command != "look",
                "client": os.getpid() if command == "die" else 0,
            },
        )
        print(run.id, flush=True)
        result = run.wait()
        print(json.dumps(result["rates"] if result.success else result.summary()))
"""
MODULE = """
    RATE = 1

    def rate():
        return RATE
"""
FILES = ("helper", "late", "package/__init__", "package/module", "package/late")
RATES = 8


def write(folder: Path) -> None:
    """Write the program as it was before any edit, and before the second of the edit.

    Python uses a compiled file if size and second of its source are the same.
    """
    for name in (*FILES, "spaces/inner", "spaces/late"):
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(MODULE))
        os.utime(path, (time.time() - 60,) * 2)
    (folder / "flow.py").write_text(dedent(FLOW))


def rates(rig: BackendRig, command: str) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_BACKEND", rig.backend)
        with rig.client("flow.py", command) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, out + err
    return json.loads(out.splitlines()[-1])


@on_aws
def test_an_edit_during_a_run_on_aws_does_not_change_the_run(rig: BackendRig) -> None:
    write(rig.folder)
    assert rates(rig, "edit") == [1] * RATES
    assert rates(rig, "look") == [2] * RATES


@on_this_machine
def test_an_edit_during_a_run_changes_neither_the_run_nor_the_cache(rig: BackendRig) -> None:
    write(rig.folder)
    assert rates(rig, "edit") == [1] * RATES
    assert "RATE = 2" in (rig.folder / "helper.py").read_text()
    assert rates(rig, "look") == [2] * RATES
    write(rig.folder)
    assert rates(rig, "edit") == [1] * RATES
    assert rates(rig, "look") == [1] * RATES


@on_each_kind_of_machine
def test_an_edit_before_attaching_to_a_run_of_a_dead_client(rig: BackendRig) -> None:
    write(rig.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_BACKEND", rig.backend)
        with rig.client("flow.py", "die") as process:
            out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == -signal.SIGKILL, out + err
    run_id = out.split()[0]
    code, out, err = rig.command("attach", run_id)
    assert code == 0, out + err
    code, out, err = rig.command("get", run_id, "rates")
    assert (code, json.loads(out)) == (0, [1] * RATES), err
