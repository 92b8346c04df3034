"""Plans of the examples on AWS."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from flowyml_aws.cli.load import load_pipeline
from flowyml_aws.planning.plan import PlannedJob
from flowyml_aws.view import plan_table
from flowyml_aws.view.mermaid import mermaid

EXPECTED = {
    "digits/pipeline.py": {"prepare": "[mcr]\\d", "training": "g4dn", "evaluate": "[mcr]\\d"},
    "data_pipeline.py": {"etl": "[mcr]\\d"},
    "ml_training.py": {"training": "p4d"},
}
PLANS = Path(__file__).parent / "plans"


def planned_jobs(file: str) -> dict[str, PlannedJob]:
    return {job.name: job for job in load_pipeline(f"examples/{file}").plan(backend="batch").jobs}


@pytest.mark.parametrize("file", EXPECTED)
def test_each_job_gets_an_instance_of_the_right_family(file: str, project: Path) -> None:
    jobs = planned_jobs(file)
    assert jobs.keys() == EXPECTED[file].keys()
    for name, family in EXPECTED[file].items():
        assert re.match(family, jobs[name].instance_type or ""), name


def test_the_training_group_needs_the_maximum_of_its_steps(project: Path) -> None:
    needs = planned_jobs("ml_training.py")["training"].needs
    assert (needs.vcpus, needs.memory_mib) == (8, 32 * 1024)
    assert (needs.gpu_model, needs.gpu_count) == ("a100", 2)


@pytest.mark.parametrize("backend", ["batch", "sagemaker"])
@pytest.mark.parametrize("file", EXPECTED)
def test_the_printed_plan_has_not_changed(file: str, backend: str, project: Path) -> None:
    """Compare with the recorded plan; UPDATE_GOLDEN=1 records new plans (review their diff)."""
    plan = load_pipeline(f"examples/{file}").plan(backend=backend)
    out = io.StringIO()
    # Without the notes of the whole plan: they contain the catalog's age, which changes daily.
    Console(file=out, width=100).print(plan_table(plan.model_copy(update={"notes": ()})))
    text = "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())
    name = file.removesuffix(".py").removesuffix("/pipeline")
    golden = PLANS / f"{name}.{backend}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


def test_the_graph_in_the_documentation_matches_the_example(project: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "graph.md"
    diagram = mermaid(load_pipeline("examples/digits/pipeline.py").plan(backend="batch"))
    assert f"```mermaid\n{diagram}```\n" in page.read_text("utf-8")
