from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import environment, finish, run_runner, start_python
from tests.runtime.scripts import write

pytestmark = [pytest.mark.version_sensitive, pytest.mark.contract]

WRITER = """
    from pathlib import Path
    from flowyml_aws import step
    from flowyml_aws.packaging.bundle import make_bundle
    from flowyml_aws.packaging.project import find_project, project_files
    from tests.runtime.harness import WrittenRun
    from library.numbers import answer, fail_there

    @step(outputs=["found"], execution_group="g")
    def look():
        return Path("note.txt").read_text(), Path(__file__).with_name("note.txt").read_text()

    @step(inputs=["found"], outputs=["end"], execution_group="g")
    def fail_here(found):
        raise ValueError(answer)  # of the script

    project = find_project([look.func])
    bundle = make_bundle(project_files(project.root).paths)
    for name, steps in {"here": [look, fail_here], "there": [fail_there]}.items():
        run = WrittenRun(Path("..", name).resolve(), *steps, project=project, bundle=bundle)
        print(run.argument())
"""


def bundled(project: Path, name: str) -> dict[str, Any]:
    """Return the result of a job of `WRITER`, run after its project was moved away."""
    write(
        project,
        script=WRITER,
        src__library__numbers="""
            from flowyml_aws import step
            answer = 42

            @step
            def fail_there():
                raise ValueError(answer)  # of the module
        """,
    )
    (project / "note.txt").write_text("noted")
    (project / "empty").mkdir()
    ended = finish(start_python(["script.py"], project, PYTHONPATH=paths(project)))
    assert ended.code == 0, ended.log
    here, there = ended.log.splitlines()
    project.rename(project.with_name("gone"))
    job = run_runner({"here": here, "there": there}[name], project.parent)
    assert job.code == 10, job.log
    (file,) = project.parent.joinpath(name).glob("store/runs/*/jobs/*/result.json")
    result = json.loads(file.read_text())
    assert isinstance(result, dict)
    return result


def paths(project: Path) -> str:
    return f"{environment()['PYTHONPATH']}:{project / 'src'}"


def test_a_traceback_shows_the_scripts_path_relative_to_the_project(project: Path) -> None:
    look, fail = bundled(project, "here")["steps"]
    assert look["state"] == "succeeded"
    traceback = fail["failure"]["traceback"]
    assert 'File "script.py", line 15, in fail_here' in traceback
    assert "raise ValueError(answer)  # of the script" in traceback


def test_a_job_with_a_bundle_imports_modules_from_the_bundle(project: Path) -> None:
    (fail,) = bundled(project, "there")["steps"]
    traceback = fail["failure"]["traceback"]
    assert 'File "src/library/numbers.py", line 7, in fail_there' in traceback
    assert "raise ValueError(answer)  # of the module" in traceback
