"""Terminal output of the instance types that fit a job, and of the rejected ones."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flowyml_aws.core.amounts import counted, usd
from flowyml_aws.planning.explanation import Rejection
from flowyml_aws.planning.needs import Needs
from flowyml_aws.planning.selection import Selection
from flowyml_aws.planning.targets import Candidate, PriceBasis

__all__ = ["candidates_table", "explanation", "price_text"]

_SEVERAL_NODES = (
    "prices are those of all {} nodes; of types with equal prices, those with EFA come first; all "
    "nodes start together, so the job waits until there is capacity for all of them"
)
_BASIS_MARKS: dict[PriceBasis, str] = {"at most": "≤ ", "estimated": "~ "}


def price_text(usd_hour: float | None, basis: PriceBasis) -> str:
    """Format a price: `$0.526`, `~ $0.736` for an estimate, `≤ $0.526` for an upper bound."""
    if usd_hour is None:
        return "unknown"
    return f"{_BASIS_MARKS.get(basis, '')}{usd(usd_hour)}"


def candidates_table(needs: Needs, candidates: Sequence[Candidate]) -> RenderableType:
    """Return a table of candidates with the amounts available to a job, in the given order.

    Prices are those of all nodes; amounts are those of each.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    several = len({candidate.target.name for candidate in candidates}) > 1
    for title, is_number in (
        ("instance type", False),
        ("per hour", True),
        ("vCPUs", True),
        ("memory", True),
        ("GPUs", False),
        ("disk", True),
        *([("EFA", False)] if needs.nodes > 1 else []),
        *([("target", False)] if several else []),
    ):
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for candidate in candidates:
        gives, instance = candidate.gives, candidate.instance
        gpus = f"{gives.gpu_count} × {instance.gpu_model} {gives.gpu_memory_gb} GB"
        table.add_row(
            Text(candidate.name, style="bold"),
            price_text(needs.price_of_nodes(candidate.price_usd_hour), candidate.price_basis),
            str(gives.vcpus),
            _memory(gives.memory_mib),
            gpus if instance.gpu_model else "",
            _disk(candidate),
            *(["yes" if candidate.has_efa(needs.nodes) else "no"] if needs.nodes > 1 else []),
            *([candidate.target.name] if several else []),
        )
    return table


def explanation(selection: Selection) -> RenderableType:
    """Explain a selection: types that fit, near misses, and rejected types with the reason."""
    candidates, needs = selection.candidates(), selection.request.needs
    rejections = selection.rejections()
    parts: list[RenderableType] = [
        Text(f"needs {needs}"),
        *([Text(_SEVERAL_NODES.format(needs.nodes))] if needs.nodes > 1 else []),
        Text(),
        Text(f"{counted(len(candidates), 'type')} that fit, best first:"),
        Padding(candidates_table(needs, candidates), (0, 0, 0, 2), expand=False),
    ]
    notes = (*selection.notes, *map(str, selection.near_misses()))
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    if rejections:
        parts += [Text(), Text(f"{len(rejections)} rejected:")]
        lines = _reasons(rejections, [c.name for c in candidates])
        parts += [Padding(line, (0, 0, 0, 2), expand=False) for line in lines]
    return Group(*parts)


def _reasons(rejections: Sequence[Rejection], fitting: Sequence[str]) -> Iterator[Text]:
    """Yield each reason with the types that it excludes, most frequent reason first."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for rejection in rejections:
        if rejection.instance_type is None:
            yield Text(f"target {rejection.target}: {rejection.reason}")
        elif rejection.lacks:
            lacking = " and ".join(_LACKING[name] for name in rejection.lacks)
            by_reason[lacking].append(rejection.instance_type)
        else:
            by_reason[rejection.reason].append(rejection.instance_type)
    sizes = Counter(map(_family, [*fitting, *(name for r in by_reason.values() for name in r)]))
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        yield Text.assemble((f"{reason}: ", "dim"), ", ".join(_short(names, sizes)))


_LACKING = {
    "vcpus": "too few vCPUs",
    "memory_mib": "too little memory",
    "storage_gib": "too little storage",
    "gpu_count": "too few GPUs",
    "gpu_memory_gb": "too little memory per GPU",
}


def _short(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield the names, abbreviated to the family (`m5.*`) if they include all its types."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in names:
        members[_family(name)].append(name)
    for family, types in sorted(members.items()):
        if len(types) == sizes[family] > 1:
            yield f"{family}.*"
        else:
            yield from types


def _family(name: str) -> str:
    return name.rpartition(".")[0]


def _memory(mib: int) -> str:
    """Format memory in GiB, rounded down to an amount that a job can request."""
    return f"{math.floor(mib / 102.4) / 10:g} GiB"


def _disk(candidate: Candidate) -> str:
    """Format the size of the local disks, or `volume` for an EBS volume of any size."""
    return f"{candidate.instance.nvme_gb:,} GB" if candidate.instance.nvme_gb else "volume"
