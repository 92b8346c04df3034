"""A step that reads a folder, and lists the files of the project in its job."""

from __future__ import annotations

from pathlib import Path

from flowyml_aws import Pipeline, step


@step(inputs=["data"], outputs=["files", "folder", "project"])
def read(data: Path) -> tuple[dict[str, str], str, list[str]]:
    files = {path.relative_to(data).as_posix(): path for path in data.rglob("*") if path.is_file()}
    project = {path.name for path in Path(__file__).parent.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in files.items()}, str(data), sorted(project)


pipeline = Pipeline("data").add_step(read)
