"""Pipelines, plans, runs and results in notebooks."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from flowyml_aws import GPUConfig, Pipeline, ResourceRequirements, step
from flowyml_aws.client.notebook import live_cell
from tests.runtime.harness import environment

HOSTILE = "<script>alert(1)</script>"


def shown(value: Any) -> tuple[str, str]:
    return value._repr_html_(), value._repr_markdown_()


@step(inputs=["x"], outputs=[HOSTILE], name=f"a {HOSTILE}", resources={"cpu": HOSTILE})
def hostile(x: int) -> int:
    return x


@step(
    outputs=["x"],
    execution_group="g",
    resources=ResourceRequirements(cpu=2, gpu=GPUConfig("a100", count=4)),
)
def load(rows: int) -> int:
    return rows


def test_a_pipeline_shows_its_steps_also_if_it_can_not_be_built() -> None:
    pipeline = Pipeline(HOSTILE, context={"rows": 5}).add_steps([hostile, load, load])
    html, markdown = shown(pipeline)
    assert "<script" not in html and "<script" not in markdown
    assert "&lt;script&gt;" in html
    assert '<td style="text-align:left">cpu: 2, gpu: 4 × a100</td>' in html
    assert "context: rows" in html


def test_a_plan_shows_its_jobs_and_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Pipeline(HOSTILE, context={"rows": 5}).add_step(load).plan(backend="local")
    html, markdown = shown(plan.model_copy(update={"notes": (HOSTILE,)}))
    assert "<script" not in html and "<script" not in markdown
    assert "note: &lt;script&gt;" in html
    assert ">load</td>" in html and "| load |" in markdown


def test_no_cell_is_shown_outside_of_a_kernel() -> None:
    assert live_cell() is None


def outputs_of(project: Path, *cells: str) -> list[list[Any]]:
    """Execute a notebook in a new kernel, and return the outputs of its cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
    )
    resources = {"metadata": {"path": str(project)}}
    client = nbclient.NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources=resources
    )
    client.execute(env=environment())
    return [cell["outputs"] for cell in notebook.cells]


@pytest.mark.system
def test_a_notebook_shows_progress_results_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "pyproject.toml").touch()
    cells = (
        """
        from flowyml_aws import Pipeline, Run, log_metric, step
        @step(outputs=["model"], name="train <b>")
        def train():
            log_metric("loss", 0.25)
            return 1
        @step(inputs=["model"])
        def fail(model):
            raise ValueError("<i>no luck</i>")
        result = Pipeline("shown").add_steps([train, fail]).run()
        """,
        "result",
        "Run.attach(result.run_id)",
        "ended = Run.attach(result.run_id).wait()",
        'quiet = Pipeline("quiet").add_steps([train]).run(progress=False)',
    )
    progress, result, run, waited, quiet = outputs_of(tmp_path, *cells)
    for (output,) in (progress, result, run, waited):
        html = output["data"]["text/html"]
        assert "train &lt;b&gt;" in html and '<b>"' not in html and "failed after" in html
        assert "&lt;i&gt;no luck&lt;/i&gt;" in html and "<i>" not in html
        assert "train &#60;b&#62;" in output["data"]["text/markdown"]
    assert "0.25" in result[0]["data"]["text/html"]
    assert quiet == []
