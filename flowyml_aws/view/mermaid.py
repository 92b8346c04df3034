"""A plan as a Mermaid flowchart of jobs with their steps, connected by assets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowyml_aws.core.maps import declared_name
from flowyml_aws.planning.job_rows import JobRow, job_rows, rows_by_job
from flowyml_aws.planning.plan import EXTERNAL_INPUT, ExecutionPlan, PlannedJob
from flowyml_aws.view.instances import price_text

__all__ = ["machine_text", "mermaid"]

# Escapes for quoted strings: characters with a meaning in Mermaid.
_MERMAID = str.maketrans(
    {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\\": "#92;", "`": "#96;"}
)


def mermaid(plan: ExecutionPlan) -> str:
    """Return the plan as a Mermaid flowchart: one subgraph per job, steps in running order.

    All jobs that run items of the same mapped steps are one subgraph.
    """
    lines = ["flowchart TB"]
    rows = job_rows(plan.jobs, machine_text)
    of_job = rows_by_job(rows)
    numbers = {row.title: f"job{number}" for number, row in enumerate(rows)}
    for row in rows:
        name = f"{row.title}, if taken" if row.first.held else row.title
        name = ", ".join((name, *(f"after approval {each}" for each in row.first.approvals)))
        title = ": ".join(filter(None, (name, machine_text(row.first))))
        lines.append(f'  subgraph {numbers[row.title]}["{_quoted(title)}"]')
        ids = [f"{numbers[row.title]}_{number}" for number in range(len(row.steps))]
        lines += [f'    {i}["{_quoted(s)}"]' for i, s in zip(ids, row.steps, strict=True)]
        if len(ids) > 1:
            lines.append(f"    {' --> '.join(ids)}")
        lines.append("  end")
    origins = plan.origins_by_name
    inputs = {asset: f"input{number}" for number, asset in enumerate(origins)}
    for asset, node in inputs.items():
        origin = origins[asset]
        label = asset if origin == EXTERNAL_INPUT else f"{asset}, {origin}"
        lines.append(f'  {node}(["{_quoted(label)}"])')
    for source, target, label in _edges(plan, of_job):
        node = numbers[source] if source in numbers and label else inputs[source]
        edge = f'|"{_quoted(label)}"| ' if label else " "
        lines.append(f"  {node} -->{edge}{numbers[target]}")
    return "\n".join(lines) + "\n"


def machine_text(job: PlannedJob) -> str:
    """Return the instance type of a job with its price; empty on this machine."""
    if not job.offers:
        return ""
    offer = job.offers[0]
    return f"{offer.machines}, {price_text(offer.price_usd_hour, offer.price_basis)} an hour"


def _edges(
    plan: ExecutionPlan, rows: Mapping[str, JobRow[PlannedJob]]
) -> Iterator[tuple[str, str, str]]:
    """Yield source, target and label with the assets, or `after` if it reads none; each once.

    Source and target are titles of rows. For an asset that no job produces, it is the source,
    and the label is empty.
    """
    edges: dict[tuple[str, str], set[str]] = {}
    waits: set[tuple[str, str]] = set()
    for job in plan.jobs:
        target = rows[job.name].title
        for asset, source in job.reads.items():
            name = declared_name(asset)
            if source is None:
                edges.setdefault((name, target), set())
            else:
                edges.setdefault((rows[source].title, target), set()).add(job.label_of(name))
        for source in job.after:
            if source not in job.reads.values():  # it waits for a step there without its assets
                waits.add((rows[source].title, target))
                edges.setdefault((rows[source].title, target), set())
    for (source, target), assets in edges.items():
        is_wait = (source, target) in waits
        yield source, target, ", ".join(sorted(assets)) or ("after" if is_wait else "")


def _quoted(text: str) -> str:
    return " ".join(text.split()).translate(_MERMAID)
