"""Results as Markdown, and numbers for readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks._results import Machine, Results, Row, Spread

__all__ = ["number", "ratio", "to_markdown"]

INTRODUCTION = """\
# Results of the benchmarks

`make bench` writes this page and `results.json`. [README.md](README.md) describes the measurements.
Values are medians; in parentheses the quartiles, or minimum and maximum of fewer than four
repetitions. Less is better. A ratio is the value as a multiple of the reference: the median of the
ratios within each round.
"""


def to_markdown(results: Results) -> str:
    """Return the page of the results."""
    parts = [INTRODUCTION, *_machines(results), "## Targets\n", *_targets(results)]
    parts += ["## Measurements\n", *_measurements(results)]
    return "\n".join(parts)


def number(value: float, unit: str = "") -> str:
    """Return a number for readers, with its unit: `0.41 ms`, `10,147 calls`, `512 MiB`."""
    if unit == "s" and 0 < abs(value) < 0.1:
        value, unit = value * 1000, "ms"
    digits = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
    return f"{digits} {unit}".strip()


def ratio(value: float) -> str:
    """Return a ratio for readers, with two digits after the point, or two significant ones."""
    return f"{value:.2f}" if 0.1 <= abs(value) < 10 else number(value)


def _machines(results: Results) -> Iterator[str]:
    yield "## Machine\n"
    machines: list[tuple[Machine, list[str]]] = []
    for name, result in results.benchmarks.items():
        same = next((names for machine, names in machines if machine == result.machine), None)
        if same is None:
            machines.append((result.machine, same := []))
        same.append(f"{name} ({result.measured_on})")
    for machine, names in machines:
        packages = ", ".join(f"{package} {found}" for package, found in machine.packages.items())
        yield (
            f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB of memory, "
            f"{machine.kernel}, Python {machine.python}, {packages}: {', '.join(names)}.\n"
        )


def _targets(results: Results) -> Iterator[str]:
    yield from _table(
        ("benchmark", "target", "measured", "at most", "met"),
        [
            (
                name,
                target.what,
                f"{target.measured:,.4g} {target.unit}",
                f"{target.at_most:,.4g}",
                "yes" if target.met else "**missed**",
            )
            for name, result in results.benchmarks.items()
            for target in result.targets
        ],
    )


def _measurements(results: Results) -> Iterator[str]:
    yield from _table(
        ("benchmark", "measurement", "value", "ratio", "repetitions"),
        [
            (name, row.name, _value(row), _ratios(row), str(row.value.repetitions))
            for name, result in results.benchmarks.items()
            for row in result.rows
        ],
    )
    for name, result in results.benchmarks.items():
        yield from (f"- {name}: {note}" for note in result.notes)
    yield ""


def _value(row: Row) -> str:
    return f"{number(row.value.median, row.unit)}{_spread(row.value, row.unit)}"


def _ratios(row: Row) -> str:
    return ", ".join(
        f"{ratio(spread.median)} × {reference}{_spread(spread)}"
        for reference, spread in row.ratios.items()
    )


def _spread(spread: Spread, unit: str = "") -> str:
    if spread.low == spread.high:
        return ""
    return f" ({number(spread.low, unit)} to {number(spread.high, unit)})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for cells in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
    yield ""
