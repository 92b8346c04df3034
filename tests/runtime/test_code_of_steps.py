"""Steps that are defined in modules, scripts and functions, run as users run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.scripts import run_script, write

pytestmark = pytest.mark.contract

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
    report = run_script(
        project,
        """
        from flowyml_aws import Pipeline
        from steps.geometry import measure, divide
        pipeline = Pipeline("p", context={"side": 3}).add_steps([measure, divide])
        """,
        steps__geometry=MODULE,
        shapes=SHAPES,
    )
    assert not report["success"]
    assert report["outputs"]["area"] == 9
    assert 'File "steps/geometry.py", line 11, in divide' in report["errors"]["divide"]
    assert "return area / 0  # the line of the module" in report["errors"]["divide"]


@pytest.mark.version_sensitive
def test_steps_of_the_script_run_and_fail_at_its_line(project: Path) -> None:
    report = run_script(
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
    assert report["outputs"]["side"] == 3
    assert 'File "script.py", line 5, in helper' in report["errors"]["divide"]
    assert "return side / 0  # the line of the script" in report["errors"]["divide"]


def test_a_script_without_a_guard_runs_its_pipeline_once(project: Path) -> None:
    report = run_script(
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
    assert report == {"n": 1}
    assert len(list((project / ".flowyml" / "aws" / "runs").iterdir())) == 1


@pytest.mark.version_sensitive
def test_steps_defined_in_a_function_keep_their_closures(project: Path) -> None:
    report = run_script(
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
    assert report["outputs"]["n"] == 42
    assert "raise ValueError(factor)  # in a function" in report["errors"]["fail"]


def test_a_decorated_function_runs(project: Path) -> None:
    report = run_script(
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
    assert report["outputs"]["b"] == 15


def test_classes_of_the_script_are_the_same_in_every_job_and_in_the_client(project: Path) -> None:
    report = run_script(
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
    assert set(report.values()) == {True}


def test_a_step_may_pickle_objects_that_the_script_defines(project: Path) -> None:
    report = run_script(
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
    assert report["errors"]["work"] is None
    assert (report["outputs"]["size"], report["outputs"]["squares"]) == (3, [0, 1, 4, 9])


@pytest.mark.version_sensitive
def test_annotations_of_the_scripts_classes_resolve_in_the_job(project: Path) -> None:
    report = run_script(
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
    assert report["outputs"]["ok"] is True


def test_a_step_of_a_job_may_run_another_pipeline(project: Path) -> None:
    report = run_script(
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
    assert report["outputs"]["outer"] == 6


def test_a_script_that_a_step_starts_is_its_own_program(project: Path) -> None:
    write(
        project,
        other="""
        import os
        from pathlib import Path
        from flowyml_aws import Pipeline, step

        with Path("evaluated").open("a") as file:
            file.write(f"{os.getpid()} ")

        factor = 1

        def double(number):
            return number * factor

        @step(outputs=["found"])
        def read():
            return double(3)

        if __name__ == "__main__":
            factor = 2
            found = Pipeline("other").add_step(read).run(progress=False)["found"]
            print(found, Path("evaluated").read_text().split().count(str(os.getpid())))
        """,
    )
    report = run_script(
        project,
        """
        import subprocess, sys
        from flowyml_aws import Pipeline, step

        @step(outputs=["output"])
        def start():
            command = [sys.executable, "other.py"]
            return subprocess.run(command, capture_output=True, text=True).stdout

        pipeline = Pipeline("outer").add_step(start)
        """,
    )
    assert report["outputs"]["output"] == "6 1\n"  # the value, and one evaluation of the script


def test_workers_that_are_terminated_right_after_their_start_end(project: Path) -> None:
    """Without a pool: CPython's can wait forever for a lock that a terminated worker held."""
    report = run_script(
        project,
        """
        import multiprocessing, time
        from flowyml_aws import Pipeline, step

        @step(outputs=["codes"], timeout=60)
        def work():
            context = multiprocessing.get_context("fork")
            codes = set()
            for _ in range(100):
                worker = context.Process(target=time.sleep, args=(600,))
                worker.start()
                worker.terminate()
                worker.join()
                codes.add(worker.exitcode)
            return sorted(codes)

        pipeline = Pipeline("p").add_step(work)
        """,
    )
    assert report["errors"]["work"] is None
    assert report["outputs"]["codes"] == [-15]
