"""Drawing of a plan as a graph of jobs with their steps, connected by assets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from types import ModuleType

from flowyml_aws.core.errors import MissingExtraError
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.view.instances import price_text

__all__ = ["mermaid", "svg"]

_MAX_STEPS = 200  # in larger plans, boxes show only the number of steps
_LINE, _CHARACTER, _PADDING, _GAP = 18, 7.3, 12, 48  # pixels, for a font size of 12

# Escapes for quoted strings: characters with a meaning in Mermaid.
_MERMAID = str.maketrans(
    {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\\": "#92;", "`": "#96;"}
)


@dataclass(frozen=True, slots=True)
class _Box:
    """A job, or an external input of the run."""

    title: str
    details: str
    lines: tuple[str, ...]

    @property
    def width(self) -> float:
        longest = max(map(len, (self.title, self.details, *self.lines)))
        return longest * _CHARACTER + 2 * _PADDING

    @property
    def height(self) -> float:
        rows = 1 + bool(self.details) + len(self.lines)
        return rows * _LINE + 2 * _PADDING


def mermaid(plan: ExecutionPlan) -> str:
    """Return the plan as a Mermaid flowchart: one subgraph per job, steps in running order."""
    lines = ["flowchart TB"]
    numbers = {job.name: f"job{number}" for number, job in enumerate(plan.jobs)}
    for job in plan.jobs:
        title = ": ".join(filter(None, (job.name, _machine(job))))
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


def svg(plan: ExecutionPlan) -> str:
    """Return the plan as an SVG document.

    Raises:
        MissingExtraError: The graph layout library is not installed.
    """
    is_large = sum(len(job.steps) for job in plan.jobs) > _MAX_STEPS
    boxes = {("job", job.name): _box(job, is_large) for job in plan.jobs}
    boxes |= {
        ("input", asset): _Box(asset, "external input", ()) for asset in _external_inputs(plan)
    }
    numbers = {key: number for number, key in enumerate(boxes)}
    edges = [
        (numbers["job" if label else "input", source], numbers["job", target], label)
        for source, target, label in _edges(plan)
    ]
    drawing = _Drawing(list(boxes.values()), edges)
    title = f"{plan.pipeline} on {plan.backend}"
    return drawing.document(title + (": too many steps to show them all" if is_large else ""))


class _Drawing:
    """A drawing of boxes of different sizes, in the layers of igraph's Sugiyama layout."""

    def __init__(self, boxes: list[_Box], edges: list[tuple[int, int, str]]) -> None:
        self._boxes = boxes
        self._edges = edges
        graph = _igraph().Graph(len(boxes), [(a, b) for a, b, _ in edges], directed=True)
        layout = graph.layout_sugiyama(hgap=1, vgap=1)
        centres = [(x, layer) for x, layer in layout.coords]
        bends = [[(x, layer) for x, layer in route] for route in layout.edge_routing]
        points = [*centres, *(bend for route in bends for bend in route)]
        column = max((box.width for box in boxes), default=0) + _GAP
        heights: dict[float, float] = {}
        for (_, layer), box in zip(centres, boxes, strict=True):
            heights[layer] = max(heights.get(layer, 0), box.height)
        tops, top = {}, float(_GAP)
        for layer in sorted({layer for _, layer in points}):
            tops[layer] = top
            top += heights.get(layer, _LINE) + _GAP
        left = min((x for x, _ in points), default=0)

        def pixels(point: tuple[float, float]) -> tuple[float, float]:
            x, layer = point
            middle = tops[layer] + heights.get(layer, _LINE) / 2
            return (x - left) * column + column / 2, middle

        self._centres = [pixels(point) for point in centres]
        self._bends = [[pixels(point) for point in route] for route in bends]
        self._width = max((pixels(point)[0] for point in points), default=0) + column / 2
        self._height = top

    def document(self, title: str) -> str:
        """Return the SVG, with a title for screen readers."""
        size = f"{self._width:.0f} {self._height:.0f}"
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
            'font-family="monospace" font-size="12">',
            f"<title>{_xml(title)}</title>",
            '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#607080"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{_PADDING}" y="{_LINE}" fill="#607080">{_xml(title)}</text>',
            *self._lines(),
            *(part for number, box in enumerate(self._boxes) for part in self._box(number, box)),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _lines(self) -> Iterator[str]:
        for (source, target, label), bends in zip(self._edges, self._bends, strict=True):
            x, y = self._centres[source]
            start = (x, y + self._boxes[source].height / 2)
            end = (
                self._centres[target][0],
                self._centres[target][1] - self._boxes[target].height / 2,
            )
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (start, *bends, end))
            yield (
                f'<polyline points="{points}" fill="none" stroke="#607080" marker-end="url(#end)"/>'
            )
            if label:
                # Next to the line, after a third of its first segment.
                segment_end = bends[0] if bends else end
                x, y = (a + (b - a) / 3 for a, b in zip(start, segment_end, strict=True))
                yield f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="#607080">{_xml(label)}</text>'

    def _box(self, number: int, box: _Box) -> Iterator[str]:
        x, y = self._centres[number]
        left, top = x - box.width / 2, y - box.height / 2
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" '
            f'height="{box.height:.1f}" rx="6" fill="#f2f5f8" stroke="#607080"/>'
        )
        rows = [(box.title, "font-weight='bold'")]
        rows += [(box.details, "fill='#607080'")] if box.details else []
        rows += [(line, "") for line in box.lines]
        for row, (text, style) in enumerate(rows, 1):
            position = f"x='{left + _PADDING:.1f}' y='{top + _PADDING / 2 + row * _LINE:.1f}'"
            yield f"<text {position} {style}>{_xml(text)}</text>"


def _box(job: PlannedJob, is_large: bool) -> _Box:
    steps = tuple(f"{number}. {name}" for number, name in enumerate(job.steps, 1))
    return _Box(job.name, _machine(job), (f"{len(steps)} steps",) if is_large else steps)


def _machine(job: PlannedJob) -> str:
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


def _xml(text: str) -> str:
    return escape("".join(c if c.isprintable() else " " for c in text))


def _igraph() -> ModuleType:
    try:
        import igraph
    except ImportError as error:
        raise MissingExtraError(
            what="The plan can't be drawn as SVG",
            why="the graph layout library igraph is not installed",
            fix="pip install 'flowyml-aws[graph]', or write Mermaid with --graph plan.mmd",
        ) from error
    module: ModuleType = igraph
    return module
