"""Instance types that serve a job, and why the others do not."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flowyml_aws.planning.explanation import Rejection
from flowyml_aws.planning.selection import Selection
from flowyml_aws.planning.targets import Candidate, PriceBasis

__all__ = ["candidates_table", "explanation", "price_text"]

_BASIS_MARKS: dict[PriceBasis, str] = {"at most": "≤ ", "estimated": "~ "}


def price_text(usd_hour: float | None, basis: PriceBasis) -> str:
    """`$0.526`; `~ $0.736` where it is estimated, `≤ $0.526` where it is a bound."""
    if usd_hour is None:
        return "unknown"
    return f"{_BASIS_MARKS.get(basis, '')}${usd_hour:,.4g}"


def candidates_table(candidates: Sequence[Candidate]) -> RenderableType:
    """Candidates with what a job can have of them, in the given order."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    several = len({candidate.target.name for candidate in candidates}) > 1
    for title, is_number in (
        ("instance type", False),
        ("per hour", True),
        ("vCPUs", True),
        ("memory", True),
        ("GPUs", False),
        ("disk", True),
        *([("target", False)] if several else []),
    ):
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    for candidate in candidates:
        gives, has = candidate.gives, candidate.instance
        gpus = f"{gives.gpu_count} × {has.gpu_model} {gives.gpu_memory_gb} GB"
        table.add_row(
            Text(candidate.name, style="bold"),
            price_text(candidate.price_usd_hour, candidate.price_basis),
            str(gives.vcpus),
            _memory(gives.memory_mib),
            gpus if has.gpu_model else "",
            _disk(candidate),
            *([candidate.target.name] if several else []),
        )
    return table


def explanation(choice: Selection) -> RenderableType:
    """Why a job gets its instance type: what fits, what would nearly, and what is out and why."""
    candidates = choice.candidates()
    rejections = choice.rejections()
    parts: list[RenderableType] = [
        Text(f"needs {choice.question.needs}"),
        Text(),
        Text(f"{_count(len(candidates), 'type')} that fit, the best first:"),
        Padding(candidates_table(candidates), (0, 0, 0, 2), expand=False),
    ]
    notes = (*choice.notes, *map(str, choice.near_misses()))
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    if rejections:
        parts += [Text(), Text(f"{_count(len(rejections), 'other')}:")]
        lines = _reasons(rejections, [c.name for c in candidates])
        parts += [Padding(line, (0, 0, 0, 2), expand=False) for line in lines]
    return Group(*parts)


def _reasons(rejections: Sequence[Rejection], fitting: Sequence[str]) -> Iterator[Text]:
    """The reasons, each with the types that it excludes, the most frequent reason first."""
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
    """A family's name alone where all its types are among them."""
    members: dict[str, list[str]] = defaultdict(list)
    for name in names:
        members[_family(name)].append(name)
    for family, found in sorted(members.items()):
        if len(found) == sizes[family] > 1:
            yield f"{family}.*"
        else:
            yield from found


def _family(name: str) -> str:
    return name.rpartition(".")[0]


def _memory(mib: int) -> str:
    """In GiB, rounded down: so much can be asked for."""
    return f"{math.floor(mib / 102.4) / 10:g} GiB"


def _disk(candidate: Candidate) -> str:
    """Local disks; other disk is a volume of any size."""
    return f"{candidate.instance.nvme_gb:,} GB" if candidate.instance.nvme_gb else "volume"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
