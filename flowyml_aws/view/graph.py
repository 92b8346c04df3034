"""A plan as a picture: jobs with their steps, and the assets between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from types import ModuleType

from flowyml_aws.core.errors import MissingExtraError
from flowyml_aws.planning.plan import ExecutionPlan, PlannedJob
from flowyml_aws.view.instances import price_text

__all__ = ["mermaid", "svg"]

_MOST_STEPS = 200  # beyond that, boxes tell how many they have
_LINE, _CHARACTER, _PADDING, _GAP = 18, 7.3, 12, 48  # pixels, of a font of 12

# Of a text in quotes, what Mermaid would read as its own, and what would end the line.
_MERMAID = str.maketrans(
    {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "\\": "#92;", "`": "#96;"}
)


@dataclass(frozen=True, slots=True)
class _Box:
    """A job, or an asset that the run brings along."""

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
    """The plan as a Mermaid flowchart: a subgraph for each job, its steps in running order."""
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
    given = {asset: f"given{number}" for number, asset in enumerate(_given(plan))}
    lines += [f'  {place}(["{_quoted(asset)}"])' for asset, place in given.items()]
    for source, target, label in _edges(plan):
        place = numbers[source] if source in numbers and label else given[source]
        told = f'|"{_quoted(label)}"| ' if label else ""
        lines.append(f"  {place} -->{told or ' '}{numbers[target]}")
    return "\n".join(lines) + "\n"


def svg(plan: ExecutionPlan) -> str:
    """The plan as an SVG document.

    Raises:
        MissingExtraError: The library that lays graphs out is not installed.
    """
    is_large = sum(len(job.steps) for job in plan.jobs) > _MOST_STEPS
    boxes = {("job", job.name): _box(job, is_large) for job in plan.jobs}
    boxes |= {("given", asset): _Box(asset, "given", ()) for asset in _given(plan)}
    places = {key: number for number, key in enumerate(boxes)}
    edges = [
        (places["job" if label else "given", source], places["job", target], label)
        for source, target, label in _edges(plan)
    ]
    drawing = _Drawing(list(boxes.values()), edges)
    title = f"{plan.pipeline} on {plan.backend}"
    return drawing.document(title + (": too many steps to show each" if is_large else ""))


class _Drawing:
    """Boxes in layers as igraph's Sugiyama layout orders them, drawn at their own size."""

    def __init__(self, boxes: list[_Box], edges: list[tuple[int, int, str]]) -> None:
        self._boxes = boxes
        self._edges = edges
        graph = _igraph().Graph(len(boxes), [(a, b) for a, b, _ in edges], directed=True)
        layout = graph.layout_sugiyama(hgap=1, vgap=1)
        placed = [(x, layer) for x, layer in layout.coords]
        bends = [[(x, layer) for x, layer in way] for way in layout.edge_routing]
        everything = [*placed, *(bend for way in bends for bend in way)]
        column = max((box.width for box in boxes), default=0) + _GAP
        heights: dict[float, float] = {}
        for (_, layer), box in zip(placed, boxes, strict=True):
            heights[layer] = max(heights.get(layer, 0), box.height)
        tops, top = {}, float(_GAP)
        for layer in sorted({layer for _, layer in everything}):
            tops[layer] = top
            top += heights.get(layer, _LINE) + _GAP
        least = min((x for x, _ in everything), default=0)

        def pixels(point: tuple[float, float]) -> tuple[float, float]:
            x, layer = point
            middle = tops[layer] + heights.get(layer, _LINE) / 2
            return (x - least) * column + column / 2, middle

        self._centres = [pixels(point) for point in placed]
        self._bends = [[pixels(point) for point in way] for way in bends]
        self._width = max((pixels(point)[0] for point in everything), default=0) + column / 2
        self._height = top

    def document(self, title: str) -> str:
        """The SVG, with a title that readers of screens tell."""
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
            told = " ".join(f"{x:.1f},{y:.1f}" for x, y in (start, *bends, end))
            yield (
                f'<polyline points="{told}" fill="none" stroke="#607080" marker-end="url(#end)"/>'
            )
            if label:
                # Beside the line, after a third of its way to where it bends or ends.
                to = bends[0] if bends else end
                x, y = (a + (b - a) / 3 for a, b in zip(start, to, strict=True))
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
        for at, (text, style) in enumerate(rows, 1):
            place = f"x='{left + _PADDING:.1f}' y='{top + _PADDING / 2 + at * _LINE:.1f}'"
            yield f"<text {place} {style}>{_xml(text)}</text>"


def _box(job: PlannedJob, is_large: bool) -> _Box:
    steps = tuple(f"{number}. {name}" for number, name in enumerate(job.steps, 1))
    return _Box(job.name, _machine(job), (f"{len(steps)} steps",) if is_large else steps)


def _machine(job: PlannedJob) -> str:
    if not job.offers:
        return ""
    offer = job.offers[0]
    return f"{offer.instance_type}, {price_text(offer.price_usd_hour, offer.price_basis)} an hour"


def _given(plan: ExecutionPlan) -> list[str]:
    found = {a: None for job in plan.jobs for a, source in job.reads.items() if source is None}
    return list(found)


def _edges(plan: ExecutionPlan) -> Iterator[tuple[str, str, str]]:
    """Source, job and the assets between them; of a given asset itself and no label."""
    for job in plan.jobs:
        crossing: dict[str, list[str]] = {}
        for asset, source in job.reads.items():
            if source is None:
                yield asset, job.name, ""
            else:
                crossing.setdefault(source, []).append(asset)
        for source, assets in crossing.items():
            yield source, job.name, ", ".join(sorted(assets))


def _quoted(text: str) -> str:
    return " ".join(text.split()).translate(_MERMAID)


def _xml(text: str) -> str:
    return escape("".join(c if c.isprintable() else " " for c in text))


def _igraph() -> ModuleType:
    try:
        import igraph
    except ImportError as error:
        raise MissingExtraError(
            what="A plan can't be drawn as SVG here",
            why="the library igraph, which lays graphs out, is not installed",
            fix="pip install 'flowyml-aws[graph]', or write Mermaid: --graph plan.mmd",
        ) from error
    module: ModuleType = igraph
    return module
