"""A plan as a Mermaid flowchart."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer
from flowyml_aws.view.mermaid import mermaid
from tests.support.plans import a_job, a_plan

PLAN = a_plan(
    a_job("prepare", steps=("load", "clean"), reads={"seed": None}),
    a_job("training", steps=("fit",), reads={"data": "prepare", "raw": "prepare"}),
    a_job("evaluate", steps=("test",), reads={"model": "training", "data": "prepare"}),
)


def test_mermaid_shows_jobs_with_machines_ordered_steps_and_assets() -> None:
    assert mermaid(PLAN) == (
        "flowchart TB\n"
        '  subgraph job0["prepare: m6i.large, $0.10 an hour"]\n'
        '    job0_0["load"]\n'
        '    job0_1["clean"]\n'
        "    job0_0 --> job0_1\n"
        "  end\n"
        '  subgraph job1["training: m6i.large, $0.10 an hour"]\n'
        '    job1_0["fit"]\n'
        "  end\n"
        '  subgraph job2["evaluate: m6i.large, $0.10 an hour"]\n'
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


def test_a_job_on_this_machine_has_no_instance_type() -> None:
    plan = a_plan(a_job("only", offers=()), backend="local")
    assert 'subgraph job0["only"]' in mermaid(plan)


def test_an_unknown_price_is_shown() -> None:
    offer = InstanceOffer(instance_type="p9.large", price_usd_hour=None, price_basis="unknown")
    assert "p9.large, unknown an hour" in mermaid(a_plan(a_job("j", offers=(offer,))))


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(names, names, names)
def test_any_names_give_a_well_formed_flowchart(job: str, step: str, asset: str) -> None:
    for line in mermaid(_plan_with(job, step, asset)).splitlines()[1:]:
        # User input appears only in quotes, and never ends them.
        assert re.fullmatch(r'[\w\s\[\]()|>-]*(?:"[^"]*"[\w\s\[\]()|>-]*)?', line)


def _plan_with(job: str, step: str, asset: str) -> ExecutionPlan:
    return a_plan(a_job("first", steps=(step,)), a_job(job, reads={asset: "first", "x": None}))
