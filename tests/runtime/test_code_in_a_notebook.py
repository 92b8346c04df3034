from __future__ import annotations

import textwrap
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.runtime.harness import environment, finish, start_python
from tests.runtime.scripts import write

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def jupyter_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


def printed_by(project: Path, *cells: str) -> str:
    """Execute a notebook in a new kernel, and return the output of its last cell."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    )
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(project)}}
    )
    client.execute(env=environment())
    outputs = notebook.cells[-1]["outputs"]
    return "".join(out["text"] for out in outputs if out["output_type"] == "stream")


@pytest.mark.version_sensitive
def test_steps_in_notebook_cells_run_and_fail_at_their_line(project: Path) -> None:
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
    printed = printed_by(project, *cells)
    assert printed.startswith("False True 1\n")
    assert "return point.x / 0  # in a cell of its own" in printed
    assert "return helper(point)  # where the step is" in printed


CLASSES = """
    import dataclasses, enum
    from flowyml_aws import Pipeline, step

    class Color(enum.Enum):
        RED = 1

    class Base:
        def double(self):
            return 2 * self.x

        def moved(self):
            return Point(self.x + 1)  # the classes refer to each other

    @dataclasses.dataclass
    class Point(Base):
        x: int
        color: Color = Color.RED

    @step(outputs=["point"])
    def make():
        return Point(1)
"""
READER = """
    @step(inputs=["point"], outputs=["same"])
    def read(point):
        same = isinstance(point, Point) and isinstance(point, Base) and point.color is Color.RED
        return [same, point.double(), {number}]

    result = Pipeline("notebook").add_steps([make, read]).run(progress=False)
    point = result["point"]
    reused = "make" not in [job.job.name for job in result.status.jobs]
    print(reused, *result["same"], type(point) is Point, point.color is Color.RED)
"""


def test_a_cached_value_has_the_notebooks_class_after_the_kernel_was_restarted(
    project: Path,
) -> None:
    first = printed_by(project, CLASSES, READER.format(number=1))
    assert first.split() == ["False", "True", "2", "1", "True", "True"]
    second = printed_by(project, CLASSES, READER.format(number=2))
    assert second.split() == ["True", "True", "2", "2", "True", "True"]


def test_a_value_of_a_script_has_its_class_in_a_notebook(project: Path) -> None:
    write(
        project,
        flow="""
            import enum
            from flowyml_aws import Pipeline, step

            class Color(enum.Enum):
                RED = 1

            @step(outputs=["color"])
            def make():
                return Color.RED

            result = Pipeline("flow").add_step(make).run(progress=False)
            print(result.run_id, result["color"] is Color.RED)
        """,
    )
    ended = finish(start_python(["flow.py"], project))
    run_id, same = ended.log.split()
    assert same == "True"
    printed = printed_by(
        project,
        f"""
        from flowyml_aws import Run
        color = Run.attach({run_id!r}, allow_pickle=True).wait()["color"]
        print(color, type(color).__module__)
        """,
    )
    assert printed.split() == ["Color.RED", "flowyml_aws.scripts.flow"]
