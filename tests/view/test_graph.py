"""Drawings of a plan."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.core.errors import MissingExtraError
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer
from flowyml_aws.view.graph import mermaid, svg
from tests.support.plans import a_job, a_plan

SVG = "{http://www.w3.org/2000/svg}"
PLAN = a_plan(
    a_job("prepare", steps=("load", "clean"), reads={"seed": None}),
    a_job("training", steps=("fit",), reads={"data": "prepare", "raw": "prepare"}),
    a_job("evaluate", steps=("test",), reads={"model": "training", "data": "prepare"}),
)

# igraph imports matplotlib, which starts a system program to find fonts.
draws = pytest.mark.contract


def texts(drawing: str) -> list[str]:
    return [str(node.text) for node in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def test_mermaid_shows_jobs_with_machines_ordered_steps_and_assets() -> None:
    assert mermaid(PLAN) == (
        "flowchart TB\n"
        '  subgraph job0["prepare: m6i.large, $0.1 an hour"]\n'
        '    job0_0["load"]\n'
        '    job0_1["clean"]\n'
        "    job0_0 --> job0_1\n"
        "  end\n"
        '  subgraph job1["training: m6i.large, $0.1 an hour"]\n'
        '    job1_0["fit"]\n'
        "  end\n"
        '  subgraph job2["evaluate: m6i.large, $0.1 an hour"]\n'
        '    job2_0["test"]\n'
        "  end\n"
        '  input0(["seed"])\n'
        "  input0 --> job0\n"
        '  job0 -->|"data, raw"| job1\n'
        '  job1 -->|"model"| job2\n'
        '  job0 -->|"data"| job2\n'
    )


def test_mermaid_shows_which_jobs_wait_for_others_without_reading_their_assets() -> None:
    plan = a_plan(a_job("prepare"), a_job("publish").model_copy(update={"after": ("prepare",)}))
    assert '  job0 -->|"after"| job1\n' in mermaid(plan)


@draws
def test_svg_shows_the_same_with_one_line_per_edge() -> None:
    drawing = svg(PLAN)
    shown = texts(drawing)
    for text in ("prepare", "1. load", "2. clean", "m6i.large, $0.1 an hour", "seed", "data, raw"):
        assert text in shown
    root = ElementTree.fromstring(drawing)
    assert len(list(root.iter(f"{SVG}polyline"))) == 4
    assert (
        len(list(root.iter(f"{SVG}rect"))) == 1 + 4
    )  # the background, jobs and the external input


@draws
def test_boxes_do_not_overlap() -> None:
    boxes = [
        [float(node.attrib[name]) for name in ("x", "y", "width", "height")]
        for node in ElementTree.fromstring(svg(PLAN)).iter(f"{SVG}rect")
        if "rx" in node.attrib
    ]
    for number, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[number + 1 :]:
            apart_x = x + width <= other_x or other_x + other_width <= x
            assert apart_x or y + height <= other_y or other_y + other_height <= y


@draws
def test_a_job_on_this_machine_has_no_instance_type() -> None:
    plan = a_plan(a_job("only", offers=()), backend="local")
    assert 'subgraph job0["only"]' in mermaid(plan)
    assert "only" in texts(svg(plan))


def test_an_unknown_price_is_shown() -> None:
    offer = InstanceOffer(instance_type="p9.large", price_usd_hour=None, price_basis="unknown")
    assert "p9.large, unknown an hour" in mermaid(a_plan(a_job("j", offers=(offer,))))


@draws
def test_a_large_plan_is_drawn_without_steps_and_reports_it() -> None:
    steps = tuple(f"step{number}" for number in range(201))
    drawing = svg(a_plan(a_job("big", steps=steps)))
    assert "201 steps" in texts(drawing)
    assert "1. step0" not in texts(drawing)
    assert "too many steps" in drawing


def test_without_the_library_the_error_names_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(MissingExtraError, match=r"flowyml-aws\[graph\]"):
        svg(PLAN)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@draws
@given(names, names, names)
def test_any_names_give_a_well_formed_drawing(job: str, step: str, asset: str) -> None:
    plan = _plan_with(job, step, asset)
    root = ElementTree.fromstring(svg(plan))
    shown = {str(node.text) for node in root.iter(f"{SVG}text")}
    if step.isprintable():
        assert f"1. {step}" in shown
    for line in mermaid(plan).splitlines()[1:]:
        # User input appears only in quotes, and never ends them.
        assert re.fullmatch(r'[\w\s\[\]()|>-]*(?:"[^"]*"[\w\s\[\]()|>-]*)?', line)


def _plan_with(job: str, step: str, asset: str) -> ExecutionPlan:
    return a_plan(a_job("first", steps=(step,)), a_job(job, reads={asset: "first", "x": None}))
