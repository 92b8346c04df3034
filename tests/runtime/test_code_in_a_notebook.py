from __future__ import annotations

import textwrap
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.runtime.harness import environment

pytestmark = [pytest.mark.version_sensitive, pytest.mark.system]


@pytest.fixture(autouse=True)
def jupyter_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


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
