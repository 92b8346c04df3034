"""Steps that are defined in modules, scripts, functions and notebooks, run as users run them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.harness import environment, finish, start_python, start_runner

ENDING = """
if __name__ == "__main__":
    import json
    result = pipeline.run(progress=False)
    print(json.dumps({
        "success": result.success,
        "outputs": {name: value for name, value in result.outputs.items()},
        "errors": {name: step.error for name, step in result.step_results.items()},
        "jobs": {view.job.name: view.reason for view in result.status.jobs},
    }, default=repr))
"""


def write(folder: Path, **files: str) -> None:
    """Files by their name, with `__` for `/` and without `.py`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").touch()
    return folder


def run_script(folder: Path, text: str, ending: str = ENDING, **files: str) -> dict[str, Any]:
    """What a script prints as its last line."""
    write(folder, **files, script=textwrap.dedent(text) + ending)
    ended = finish(start_python(["script.py"], folder))
    assert ended.code == 0, ended.log
    answer = json.loads(ended.log.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


MODULE = """
    from flowyml_aws import step
    from shapes import Shape

    @step(outputs=["area"])
    def measure(side: int):
        return Shape(side).area()

    @step(inputs=["area"], condition=lambda area: area > 1, outputs=["end"])
    def divide(area):
        return area / 0  # the line of the module
"""
SHAPES = """
    class Shape:
        def __init__(self, side):
            self.side = side
        def area(self):
            return self.side ** 2
"""


def test_steps_of_a_module_run_and_fail_at_the_modules_line(project: Path) -> None:
    told = run_script(
        project,
        """
        from flowyml_aws import Pipeline
        from steps.geometry import measure, divide
        pipeline = Pipeline("p", context={"side": 3}).add_steps([measure, divide])
        """,
        steps__geometry=MODULE,
        shapes=SHAPES,
    )
    assert not told["success"]
    assert told["outputs"]["area"] == 9
    assert 'File "steps/geometry.py", line 11, in divide' in told["errors"]["divide"]
    assert "return area / 0  # the line of the module" in told["errors"]["divide"]


def test_steps_of_the_script_run_and_fail_at_its_line(project: Path) -> None:
    told = run_script(
        project,
        """
        from flowyml_aws import Pipeline, step
        SIDE = 3
        def helper(side):
            return side / 0  # the line of the script

        @step(outputs=["side"])
        def measure():
            return SIDE

        @step(inputs=["side"], outputs=["end"])
        def divide(side):
            return helper(side)

        pipeline = Pipeline("p").add_steps([measure, divide])
        """,
    )
    assert told["outputs"]["side"] == 3
    assert 'File "script.py", line 5, in helper' in told["errors"]["divide"]
    assert "return side / 0  # the line of the script" in told["errors"]["divide"]


def test_a_script_without_a_guard_runs_its_pipeline_once(project: Path) -> None:
    told = run_script(
        project,
        """
        import json
        from flowyml_aws import Pipeline, step

        @step(outputs=["n"])
        def give():
            return 1

        result = Pipeline("p").add_step(give).run(progress=False)
        print(json.dumps({"n": result["n"]}))
        """,
        ending="",
    )
    assert told == {"n": 1}
    assert len(list((project / ".flowyml" / "runs").iterdir())) == 1


def test_steps_made_in_a_function_take_their_closures_along(project: Path) -> None:
    told = run_script(
        project,
        """
        from flowyml_aws import Pipeline, step

        def make(factor):
            double = lambda n: n * factor
            @step(outputs=["n"])
            def give():
                return double(21)
            @step(inputs=["n"], outputs=["end"], condition=lambda n: n == 42)
            def fail(n):
                raise ValueError(factor)  # in a function
            return [give, fail]

        pipeline = Pipeline("p").add_steps(make(2))
        """,
    )
    assert told["outputs"]["n"] == 42
    assert "raise ValueError(factor)  # in a function" in told["errors"]["fail"]


def test_a_function_behind_a_decorator_runs(project: Path) -> None:
    told = run_script(
        project,
        """
        import functools
        from flowyml_aws import Pipeline, step
        from decorated import of_module

        def twice(function):
            @functools.wraps(function)
            def inner(*args, **kwargs):
                return function(*args, **kwargs) * 2
            return inner

        @step(outputs=["a"])
        @twice
        def of_script():
            return 2

        pipeline = Pipeline("p").add_steps([of_script, of_module])
        """,
        decorated="""
            import functools
            from flowyml_aws import step

            def thrice(function):
                @functools.wraps(function)
                def inner(a):
                    return function(a) * 3
                return inner

            @step(inputs=["a"], outputs=["b"])
            @thrice
            def of_module(a):
                return a + 1
        """,
    )
    assert told["outputs"]["b"] == 15


def test_classes_of_the_script_stay_the_same_in_every_job_and_in_the_client(project: Path) -> None:
    told = run_script(
        project,
        """
        import dataclasses, enum, json
        from flowyml_aws import Pipeline, step

        class Colour(enum.Enum):
            RED = "red"

        class Base:
            pass

        @dataclasses.dataclass
        class Point(Base):
            x: int
            colour: Colour = Colour.RED

        @step(outputs=["point"])
        def make():
            return Point(1)

        @step(inputs=["point"], outputs=["moved", "same"])
        def move(point):
            same = isinstance(point, Point) and point.colour is Colour.RED
            return Point(point.x + 1), same

        result = Pipeline("p").add_steps([make, move]).run(progress=False)
        moved = result["moved"]
        print(json.dumps({
            "in the job": result["same"],
            "in the client": type(moved) is Point and isinstance(moved, Base),
            "enum": moved.colour is Colour.RED,
            "equal": moved == Point(2),
        }))
        """,
        ending="",
    )
    assert set(told.values()) == {True}


def test_a_step_may_pickle_what_the_script_defines(project: Path) -> None:
    told = run_script(
        project,
        """
        import multiprocessing, pickle
        from flowyml_aws import Pipeline, step

        class Model:
            size = 3

        def square(n):
            return n * n

        @step(outputs=["size", "squares"])
        def work():
            with multiprocessing.get_context("fork").Pool(2) as pool:
                squares = pool.map(square, range(4))
            return pickle.loads(pickle.dumps(Model())).size, squares

        pipeline = Pipeline("p").add_step(work)
        """,
    )
    assert told["errors"]["work"] is None
    assert (told["outputs"]["size"], told["outputs"]["squares"]) == (3, [0, 1, 4, 9])


def test_annotations_of_the_scripts_classes_resolve_in_the_job(project: Path) -> None:
    told = run_script(
        project,
        """
        from __future__ import annotations
        import typing
        from flowyml_aws import Pipeline, step

        class Path:
            pass

        class Holder:
            path: Path

        @step(outputs=["ok"])
        def resolve():
            return typing.get_type_hints(Holder)["path"] is Path

        pipeline = Pipeline("p").add_step(resolve)
        """,
    )
    assert told["outputs"]["ok"] is True


def test_a_module_that_runs_its_pipeline_at_import_is_refused_in_the_job(project: Path) -> None:
    told = run_script(
        project,
        """
        import json
        import flow
        print(json.dumps({view.job.name: view.reason for view in flow.result.status.jobs}))
        """,
        ending="",
        flow="""
            from flowyml_aws import Pipeline, step

            @step(outputs=["n"])
            def give():
                return 1

            result = Pipeline("p").add_step(give).run(progress=False)
        """,
    )
    assert told == {
        "give": "PipelineFileError: A module of the steps runs a pipeline while it is imported"
    }
    assert len(list((project / ".flowyml" / "runs").iterdir())) == 1


def test_a_step_of_a_job_may_run_another_pipeline(project: Path) -> None:
    told = run_script(
        project,
        """
        from flowyml_aws import Pipeline, step

        @step(outputs=["inner"])
        def inside():
            return 5

        @step(outputs=["outer"])
        def outside():
            return Pipeline("inner").add_step(inside).run(progress=False)["inner"] + 1

        pipeline = Pipeline("outer").add_step(outside)
        """,
    )
    assert told["outputs"]["outer"] == 6


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
    bundle = make_bundle(project_files(project.root))
    for name, steps in {"here": [look, fail_here], "there": [fail_there]}.items():
        run = WrittenRun(Path("..", name).resolve(), *steps, project=project, bundle=bundle)
        print(run.argument())
"""


def bundled(project: Path, name: str) -> dict[str, Any]:
    """The result of a job of `WRITER`, run where its project is no more."""
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
    job = finish(start_runner({"here": here, "there": there}[name], project.parent))
    assert job.code == 10, job.log
    (found,) = project.parent.joinpath(name).glob("store/runs/*/jobs/*/result.json")
    result = json.loads(found.read_text())
    assert isinstance(result, dict)
    return result


def paths(project: Path) -> str:
    return f"{environment()['PYTHONPATH']}:{project / 'src'}"


def test_a_job_with_a_bundle_tells_the_scripts_files_relative_to_the_project(project: Path) -> None:
    look, fail = bundled(project, "here")["steps"]
    assert look["state"] == "succeeded"
    told = fail["failure"]["traceback"]
    assert 'File "script.py", line 15, in fail_here' in told
    assert "raise ValueError(answer)  # of the script" in told


def test_a_job_with_a_bundle_imports_its_modules_from_there(project: Path) -> None:
    (fail,) = bundled(project, "there")["steps"]
    told = fail["failure"]["traceback"]
    assert 'File "src/library/numbers.py", line 7, in fail_there' in told
    assert "raise ValueError(answer)  # of the module" in told


def test_a_package_that_the_job_lacks_is_named_with_the_users_line(project: Path) -> None:
    write(
        project,
        steps="""
            import os
            from flowyml_aws import step
            if "FLOWYML_ATTEMPT" in os.environ:
                import only_on_the_laptop

            @step
            def give():
                return 1
        """,
    )
    told = run_script(
        project,
        """
        from flowyml_aws import Pipeline
        from steps import give
        pipeline = Pipeline("p").add_step(give)
        """,
        ending=ENDING + "    print(json.dumps({'told': [v.result.failure.traceback for v in"
        " result.status.jobs]}))",
    )
    (traceback,) = told["told"]
    assert 'File "steps.py", line 5, in <module>' in traceback
    assert "import only_on_the_laptop" in traceback
    assert "install only_on_the_laptop in the image" in traceback
    assert "importlib" not in traceback


def test_a_module_that_exits_at_import_fails_the_job(project: Path) -> None:
    told = run_script(
        project,
        """
        from flowyml_aws import Pipeline
        from steps import give
        pipeline = Pipeline("p").add_step(give)
        """,
        steps="""
            import os, sys
            from flowyml_aws import step
            if "FLOWYML_ATTEMPT" in os.environ:
                sys.exit(0)

            @step
            def give():
                return 1
        """,
    )
    assert told["jobs"] == {
        "give": "PipelineFileError: The steps do not load in this job: SystemExit: 0"
    }


def test_steps_of_notebook_cells_run_and_fail_at_their_line(project: Path) -> None:
    import nbclient
    import nbformat

    cells = [
        """
        from flowyml_aws import Pipeline, step
        class Point:
            def __init__(self, x):
                self.x = x
        """,
        """
        def helper(point):
            return point.x / 0  # in a cell of its own
        """,
        """
        offset = 1
        @step(outputs=["point"])
        def make():
            return Point(offset)
        @step(inputs=["point"], outputs=["end"], condition=lambda point: isinstance(point, Point))
        def fail(point):
            return helper(point)  # where the step is
        """,
        """
        result = Pipeline("notebook").add_steps([make, fail]).run(progress=False)
        print(result.success, type(result["point"]) is Point, result["point"].x)
        print(result.step_results["fail"].error)
        """,
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    )
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(project)}}
    )
    client.execute(env=environment())
    printed = "".join(out["text"] for out in notebook.cells[-1]["outputs"])
    assert printed.startswith("False True 1\n")
    assert "return point.x / 0  # in a cell of its own" in printed
    assert "return helper(point)  # where the step is" in printed
