"""Values of every type."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from flowyml_aws import Pipeline, step


@step(outputs=["text"], execution_group="plain")
def write(greeting: str, times: int) -> str:
    print(f"{greeting} {times}")
    return " ".join([greeting] * times)


@step(outputs=["facts"], execution_group="plain")
def count(times: int) -> dict[str, Any]:
    return {"times": times, "ok": True, "names": ["ä"]}


@step(outputs=["raw"], execution_group="plain")
def read() -> bytes:
    return b"\x00\xff"


@step(outputs=["low", "high"], execution_group="plain")
def split(times: int) -> tuple[int, int]:
    return -times, times


@step(outputs=["matrix"], execution_group="plain")
def compute() -> Any:
    return np.arange(6).reshape(2, 3)


@step(outputs=["odd"], execution_group="plain")
def make() -> set[complex]:
    return {1j}


@step(outputs=["report"], execution_group="plain")
def draw() -> Path:
    path = Path(tempfile.mkdtemp(), "report.txt")
    path.write_text("all is well")
    return path


@step(outputs=["folder"], execution_group="plain")
def collect() -> Path:
    path = Path(tempfile.mkdtemp(), "models")
    path.mkdir()
    (path / "a.txt").write_text("a")
    return path


pipeline = Pipeline("kinds", context={"greeting": "hello", "times": 2})
pipeline.add_steps([write, count, read, split, compute, make, draw, collect])
