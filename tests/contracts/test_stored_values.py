"""Values of many kinds that pass from one job to another, each on its own machine."""

from __future__ import annotations

from tests.contracts.test_program import on_each_kind_of_machine
from tests.contracts.test_values_of_jobs import run
from tests.support.rigs import BackendRig

SCRIPT = """
import json, os, tempfile
from dataclasses import dataclass
from decimal import Decimal, getcontext
from pathlib import Path
from typing import Generic, TypeVar

import numpy
import polars
from pydantic import BaseModel

from flowyml_aws import Lazy, Pipeline, step

T = TypeVar("T")

class Box(BaseModel, Generic[T]):
    item: T

@dataclass
class Report:
    file: Path

class Third:
    def __getstate__(self):
        return str(Decimal(1) / 3)

    def __setstate__(self, state):
        self.digits = state

@step(outputs=["report", "rows", "box", "third", "frame", "numbers"])
def first():
    getcontext().prec = 5
    folder = Path(tempfile.mkdtemp())
    (folder / "report.sh").write_text("all is well")
    (folder / "report.sh").chmod(0o755)
    polars.DataFrame({"": [1, 2]}).write_parquet(folder / "rows.parquet")
    rows = polars.scan_parquet(folder / "rows.parquet")
    numbers = numpy.arange(3 << 20)
    report = Report(folder / "report.sh")
    return report, [rows], Box[int](item=3), Third(), rows.collect(), numbers

@step(inputs=["report", "rows", "box", "third", "frame", "numbers"], outputs=["seen"])
def second(report, rows, box, third, frame, numbers: Lazy[numpy.ndarray]):
    return [
        report.file.read_text(),
        os.access(report.file, os.X_OK),
        rows[0].collect().to_dict(as_series=False),
        isinstance(box, Box[int]),
        third.digits,
        frame.columns,
        [len(numbers), *numbers[(1 << 21) - 1 : (1 << 21) + 1].tolist()],
    ]

if __name__ == "__main__":
    pipeline = Pipeline("kinds").add_step(first).add_step(second)
    result = pipeline.run(backend=os.environ["TEST_BACKEND"])
    print(json.dumps(result["seen"]))
"""


@on_each_kind_of_machine
def test_the_next_job_gets_values_as_a_function_call_would_pass_them(rig: BackendRig) -> None:
    rows = [3 << 20, (1 << 21) - 1, 1 << 21]
    expected = ["all is well", True, {"": [1, 2]}, True, "0.33333", [""], rows]
    assert run(rig, SCRIPT) == expected


PACKED = """
import json, os

from flowyml_aws import Pipeline, step

NAMES = [f"part_{number}" for number in range(30)]

@step(outputs=NAMES, cache="code_hash")
def first():
    return tuple({"number": number} for number in range(30))

@step(inputs=["part_3", "part_29"], outputs=["total"], cache=False)
def second(part_3, part_29):
    return part_3["number"] + part_29["number"]

if __name__ == "__main__":
    pipeline = Pipeline("packed").add_step(first).add_step(second)
    runs = [pipeline.run(backend=os.environ["TEST_BACKEND"]) for _ in range(2)]
    print(json.dumps([
        [run["total"] for run in runs],
        [run.step_results["first"].cached for run in runs],
        [runs[1][name]["number"] for name in NAMES] == list(range(30)),
        len({runs[0].refs[name].uri for name in NAMES}),
    ]))
"""


@on_each_kind_of_machine
def test_small_values_of_a_step_are_one_object_that_jobs_clients_and_the_cache_read(
    rig: BackendRig,
) -> None:
    assert run(rig, PACKED) == [[32, 32], [False, True], True, 1]
