"""A plan as a Mermaid flowchart of jobs with their steps, connected by assets."""

from __future__ import annotations

from collections.abc import Iterator

from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.view.instances import price_text

__all__ = ["machine_text", "mermaid"]

# Escapes for quoted strings: characters with a meaning in Mermaid.
_MERMAID = str.maketrans(
    {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\\": "#92;", "`": "#96;"}
)


def mermaid(plan: ExecutionPlan) -> str:
    """Return the plan as a Mermaid flowchart: one subgraph per job, steps in running order."""
    lines = ["flowchart TB"]
    numbers = {job.name: f"job{number}" for number, job in enumerate(plan.jobs)}
    for job in plan.jobs:
        title = ": ".join(filter(None, (job.name, machine_text(job))))
        lines.append(f'  subgraph {numbers[job.name]}["{_quoted(title)}"]')
        ids = [f"{numbers[job.name]}_{number}" for number in range(len(job.steps))]
        lines += [f'    {i}["{_quoted(s)}"]' for i, s in zip(ids, job.steps, strict=True)]
        if len(ids) > 1:
            lines.append(f"    {' --> '.join(ids)}")
        lines.append("  end")
    inputs = {asset: f"input{number}" for number, asset in enumerate(_external_inputs(plan))}
    lines += [f'  {node}(["{_quoted(asset)}"])' for asset, node in inputs.items()]
    for source, target, label in _edges(plan):
        node = numbers[source] if source in numbers and label else inputs[source]
        edge = f'|"{_quoted(label)}"| ' if label else " "
        lines.append(f"  {node} -->{edge}{numbers[target]}")
    return "\n".join(lines) + "\n"


def machine_text(job: PlannedJob) -> str:
    """Return the instance type of a job with its price; empty on this machine."""
    if not job.offers:
        return ""
    offer = job.offers[0]
    return f"{offer.instance_type}, {price_text(offer.price_usd_hour, offer.price_basis)} an hour"


def _external_inputs(plan: ExecutionPlan) -> list[str]:
    assets = {a: None for job in plan.jobs for a, source in job.reads.items() if source is None}
    return list(assets)  # without duplicates, in order


def _edges(plan: ExecutionPlan) -> Iterator[tuple[str, str, str]]:
    """Yield source job, target job and label with the assets, or `after` if it reads none.

    For an external input, the source is the asset and the label is empty.
    """
    for job in plan.jobs:
        by_source: dict[str, list[str]] = {}
        for asset, source in job.reads.items():
            if source is None:
                yield asset, job.name, ""
            else:
                by_source.setdefault(source, []).append(asset)
        for source, assets in by_source.items():
            yield source, job.name, ", ".join(sorted(assets))
        for source in job.after:
            if source not in by_source:  # it waits for a step there without reading an asset
                yield source, job.name, "after"


def _quoted(text: str) -> str:
    return " ".join(text.split()).translate(_MERMAID)
