"""The use of the machine that jobs of this machine leave in the store."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowyml_aws import step
from flowyml_aws.artifacts.documents import read_document
from flowyml_aws.runtime.usage import JobUsage, PhaseKind
from tests.runtime.harness import WrittenRun

pytestmark = pytest.mark.contract
BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


@step(outputs=["size"])
def burn() -> int:
    block = bytearray(b"x") * (300 * 2**20)
    subprocess.run([sys.executable, "-c", BURN], check=True)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return len(block)


@step(inputs=["size"])
def rest(size: int) -> None:
    time.sleep(0.05)


@step
def fail() -> None:
    raise ValueError("on purpose")


def usage(run: WrittenRun, job: str) -> JobUsage:
    key = run.layout.attempt(job, 1, "usage.json")
    return read_document(JobUsage, run.store.get(key), key)


def test_a_job_leaves_the_use_of_each_step(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, burn, rest)
    assert run.run("burn").code == 0
    assert run.run("rest").code == 0
    burned, rested = usage(run, "burn"), usage(run, "rest")
    assert burned.steps["burn"].cpu_core_s >= 0.6  # half of it by a child
    assert burned.steps["burn"].memory_peak_mib >= 300
    assert rested.steps["rest"].cpu_core_s < 0.3
    assert rested.steps["rest"].memory_peak_mib < 300
    assert [phase.kind for phase in burned.phases] == [
        PhaseKind.CODE,
        PhaseKind.PROGRAM,
        PhaseKind.STEP,
        PhaseKind.OUTPUTS,
    ]
    assert [phase.kind for phase in rested.phases][:4] == [
        PhaseKind.CODE,
        PhaseKind.PROGRAM,
        PhaseKind.INPUTS,
        PhaseKind.STEP,
    ]
    assert burned.start is not None and burned.start.process_at is not None
    assert burned.start.process_at < burned.start.imported_at <= burned.phases[0].started_at


def test_a_failed_job_leaves_its_use(tmp_path: Path) -> None:
    run = WrittenRun(tmp_path, fail)
    assert run.run().code != 0
    assert usage(run, "fail").steps["fail"].memory_peak_mib > 1


def test_a_runner_does_not_import_psutil_when_it_starts() -> None:
    code = "import flowyml_aws.job.__main__, sys; print('psutil' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
