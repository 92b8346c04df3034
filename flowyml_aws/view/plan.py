"""A plan: what would run where, for how much, after what."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob
from flowyml_aws.view.instances import price_text

__all__ = ["plan_table"]


def plan_table(plan: ExecutionPlan) -> RenderableType:
    """The plan: per job its machine, price, steps, order and assets; then the sum and the notes."""
    parts: list[RenderableType] = []
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for title, justify in (
        ("job", "left"),
        ("needs", "left"),
        ("instance type", "left"),
        ("per hour", "right"),
        ("target", "left"),
    ):
        table.add_column(title, justify=justify, no_wrap=title != "needs")  # type: ignore[arg-type]
    for job in plan.jobs:
        table.add_row(
            Text(job.name, style="bold"),
            _needs(job.needs),
            job.instance_type or "",
            _price(job.offers[0]) if job.offers else "",
            job.target,
        )
    parts += [table, Text()]
    for job in plan.jobs:
        parts.append(Text(job.name, style="bold"))
        parts += [Padding(line, (0, 0, 0, 2), expand=False) for line in _details(job)]
    if plan.backend != "local":
        total = plan.dearest_usd_hour
        amount = f"${total:,.4g}" if total is not None else "unknown"
        basis = f"{plan.region}, prices of {plan.prices_of}"
        parts += [Text(), Text(f"all jobs at once: {amount} per hour ({basis})")]
    parts += [Text(f"note: {note}", style="yellow") for note in plan.notes]
    return Group(*parts)


def _details(job: PlannedJob) -> Iterator[Text]:
    yield _line("steps", " → ".join(job.steps))
    if job.after:
        yield _line("waits for", ", ".join(job.after))
    if job.reads:
        sources = (
            f"{asset} ({producer or 'given'})" for asset, producer in sorted(job.reads.items())
        )
        yield _line("reads", ", ".join(sources))
    if job.stored:
        yield _line("stores", ", ".join(job.stored))
    if job.cached:
        yield _line("cached", ", ".join(job.cached))
    if job.offers[1:]:
        others = (f"{offer.instance_type} {_price(offer)}" for offer in job.offers[1:])
        yield _line("else", ", ".join(others))
    for note in job.notes:
        yield Text(f"note: {note}", style="yellow")


def _line(what: str, told: str) -> Text:
    return Text.assemble((f"{what}: ", "dim"), told)


def _needs(needs: Needs) -> str:
    gpu = f", {needs.gpu_count} × {needs.gpu_model}" if needs.gpu_model else ""
    disk = f", {needs.storage_gib} GiB disk" if needs.storage_gib else ""
    return f"{needs.vcpus} vCPU, {needs.memory_mib / 1024:g} GiB{gpu}{disk}"


def _price(offer: InstanceOffer) -> str:
    return price_text(offer.price_usd_hour, offer.price_basis)
