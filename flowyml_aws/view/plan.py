"""Terminal output of a plan: jobs with their instance types, cost and order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.cost_shares import attempt_limit_s, ends_at_share
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.plan import ExecutionPlan, InstanceOffer, PlannedJob, Variant
from flowyml_aws.planning.wording import time_text
from flowyml_aws.runtime.causes import Cause
from flowyml_aws.submission.moves import machine_after
from flowyml_aws.view.instances import price_text

__all__ = ["plan_table", "price_range", "reused_line"]

_MAX_NAMES = 5  # steps; the plan's JSON contains all of them

_MOVES = {
    Cause.OUT_OF_MEMORY: "if memory is used up",
    Cause.GPU_OUT_OF_MEMORY: "if GPU memory is used up",
    Cause.DISK_FULL: "if the disk is full",
    Cause.CAPACITY: "if it loses two hosts, or gets none",
}
_AMOUNTS = {
    "vcpus": "vCPUs",
    "memory_mib": "memory",
    "storage_gib": "disk",
    "gpu_count": "GPUs",
    "gpu_memory_gb": "GPU memory",
}
_ORIGINS = {
    "setting": "from the setting `backend`",
    "default": "the default; select another one with --backend, backend= or the setting `backend`",
}


def plan_table(plan: ExecutionPlan) -> RenderableType:
    """Return a table of jobs, their steps, order and assets, the expected cost, and the notes."""
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
    parts += [table, Text()] if plan.jobs else []
    if plan.reused:
        parts += [reused_line(plan), Text()]
    for job in plan.jobs:
        parts.append(Text(job.name, style="bold"))
        parts += [Padding(line, (0, 0, 0, 2), expand=False) for line in _details(job, plan)]
    parts += _expected(plan)
    if plan.is_priced:
        total = plan.peak_usd_hour
        amount = usd(total) if total is not None else "unknown"
        basis = f"{plan.region}, prices from {plan.prices_of}"
        parts += [Text(), Text(f"all jobs at once: {amount} per hour ({basis})")]
    if (origin := _ORIGINS.get(plan.backend_origin)) is not None:
        parts += [Text(), Text(f"backend {plan.backend}: {origin}")]
    parts += [Text(f"note: {note}", style="yellow") for note in plan.notes]
    return Group(*parts)


def price_range(job: PlannedJob) -> str:
    """Format a job's price: `$0.526/h, at most $0.752/h (g4dn.2xlarge)`."""
    planned, highest = job.offers[0], job.highest
    if highest is None or highest == planned:
        return f"{_price(planned)}/h"
    return f"{_price(planned)}/h, at most {_price(highest)}/h ({highest.instance_type})"


def reused_line(plan: ExecutionPlan) -> Text:
    """Return a line with the steps that do not run, and the earlier runs of their assets."""
    names = list(plan.reused)
    more = f" and {len(names) - _MAX_NAMES} more" if names[_MAX_NAMES:] else ""
    runs = sorted({step.run_id for step in plan.reused.values() if step.run_id})
    origin = f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} earlier runs"
    label = "cached, not run" if plan.jobs else "all steps are cached, nothing to run"
    listed = ", ".join(names[:_MAX_NAMES])
    return Text.assemble((f"{label}: ", "green"), f"{listed}{more} (from {origin})")


def _details(job: PlannedJob, plan: ExecutionPlan) -> Iterator[Text]:
    sizes = plan.asset_bytes
    yield _line("steps", " → ".join(job.steps))
    for name, origin in job.origins.items():
        yield _line(_AMOUNTS[name], origin)
    if job.after:
        yield _line("waits for", ", ".join(job.after))
    if job.reads:
        sources = (
            f"{_sized(asset, sizes)} ({producer or 'external input'})"
            for asset, producer in sorted(job.reads.items())
        )
        yield _line("reads", ", ".join(sources))
    if job.stored:
        yield _line("stores", ", ".join(_sized(asset, sizes) for asset in job.stored))
    if job.environment:
        variables = (f"{name}={value}" for name, value in job.environment.items())
        yield _line("environment", ", ".join(variables))
    if job.secrets:
        secrets = (f"{name} from {reference}" for name, reference in job.secrets.items())
        yield _line("secrets", ", ".join(secrets))
    if job.expected_s is not None:
        cost = f", {usd(job.expected_cost_usd)}" if job.expected_cost_usd is not None else ""
        yield _line("expected", f"{time_text(job.expected_s)}{cost}")
    if ends_at_share(job):
        share = f"{usd(job.share_usd or 0)}, its share of max_cost_usd"
        yield _line("ends after", f"{time_text(attempt_limit_s(job) or 0)} ({share})")
    if job.highest is not None and job.highest != job.offers[0]:
        yield _line("price", price_range(job))
    if job.offers[1:]:
        fallbacks = (f"{offer.instance_type} {_price(offer)}" for offer in job.offers[1:])
        yield _line("alternatives", ", ".join(fallbacks))
    for cause, position in job.moves.items():
        place = plan.alternatives[position]
        if place.target != job.target or place.needs != job.needs:
            yield _line(_MOVES[cause], machine_after(job, place))
    for note in job.notes:
        yield Text(f"note: {note}", style="yellow")


def _expected(plan: ExecutionPlan) -> Iterator[RenderableType]:
    """Yield the expected cost and time of the run, and the other ways to split it into jobs."""
    estimate = plan.estimate
    if estimate is None:
        return
    yield Text()
    runs = counted(estimate.runs, "earlier run")
    basis = f"based on {runs}, with {estimate.startup_s} s to start each job"
    if estimate.wall_s is None:
        more = (
            f" and {len(estimate.unknown) - _MAX_NAMES} more"
            if estimate.unknown[_MAX_NAMES:]
            else ""
        )
        unknown = ", ".join(estimate.unknown[:_MAX_NAMES]) + more
        yield Text(f"expected time and cost: unknown, because {unknown} never ran ({basis})")
        return
    cost = "" if estimate.cost_usd is None else f"{usd(estimate.cost_usd)}, "
    yield Text(f"expected: {cost}{time_text(estimate.wall_s)} ({basis})")
    if len(estimate.variants) > 1:
        table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
        for title in ("split", "jobs", "cost", "difference", "time"):
            table.add_column(title, justify="left" if title == "split" else "right", no_wrap=True)
        grouped = estimate.variants[0]
        for variant in estimate.variants:
            cost = "unknown" if variant.cost_usd is None else usd(variant.cost_usd)
            difference = _difference(variant, grouped)
            jobs, time = str(variant.jobs), time_text(variant.wall_s)
            table.add_row(variant.name, jobs, cost, difference, time)
        yield Padding(table, (0, 0, 0, 2), expand=False)
        for group, cuts in estimate.variants[-1].cuts.items():
            parts = " | ".join(" → ".join(steps) for steps in cuts)
            yield Padding(_line(f"cheapest split of {group}", parts), (0, 0, 0, 2), expand=False)


def _sized(asset: str, sizes: Mapping[str, int]) -> str:
    return f"{asset} {decimal(sizes[asset])}" if asset in sizes else asset


def _difference(variant: Variant, grouped: Variant) -> str:
    """Format the cost difference between a variant and the plan, in percent."""
    if not variant.cost_usd or not grouped.cost_usd:
        return ""
    percent = round(100 * (variant.cost_usd / grouped.cost_usd - 1))
    return f"{percent:+,} %" if percent else ""


def _line(label: str, text: str) -> Text:
    return Text.assemble((f"{label}: ", "dim"), text)


def _needs(needs: Needs) -> str:
    gpu = f", {needs.gpu_count} × {needs.gpu_model}" if needs.gpu_model else ""
    disk = f", {needs.storage_gib} GiB disk" if needs.storage_gib else ""
    return f"{needs.vcpus} vCPU, {needs.memory_mib / 1024:g} GiB{gpu}{disk}"


def _price(offer: InstanceOffer) -> str:
    return price_text(offer.price_usd_hour, offer.price_basis)
