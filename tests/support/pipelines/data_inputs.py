"""Steps that read a folder: two in one job, and one in another."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws import Pipeline, step


def listed(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


@step(inputs=["data"], outputs=["first"], execution_group="g")
def first(data: Path) -> list[object]:
    return [str(data), listed(data)]


@step(inputs=["data", "first"], outputs=["second"], execution_group="g")
def second(data: Path, first: list[object]) -> list[object]:
    return [str(data), listed(data)]


@step(inputs=["data", "second"], outputs=["project"])
def third(data: Path, second: list[object]) -> list[str]:
    return sorted(path.name for path in Path(__file__).parent.rglob("*") if path.is_file())


pipeline = Pipeline("data").add_step(first).add_step(second).add_step(third)
