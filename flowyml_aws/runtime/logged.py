"""Logged values of the steps of a job, as an attempt writes them while it runs."""

from __future__ import annotations

import base64
from typing import Literal

from pydantic import Field

from flowyml_aws.artifacts.documents import Document, read_document
from flowyml_aws.artifacts.layout import LOGGED, RunLayout
from flowyml_aws.artifacts.store import ArtifactStore
from flowyml_aws.core.errors import ArtifactNotFoundError, DamagedArtifactError
from flowyml_aws.core.logged_tables import Cell

__all__ = [
    "JobLogged",
    "LoggedImage",
    "LoggedTable",
    "LoggedText",
    "MetricSeries",
    "StepLogged",
    "read_logged",
]


class MetricSeries(Document):
    """Values of a metric in the order in which they were logged.

    A long series is thinned: the points that are left have equal distances, except the last one.

    Attributes:
        steps: Position of each point, such as the epoch.
        values: Value of each point; all are finite.
        times: Time of each point, in seconds since the epoch.
        count: Number of points that were logged.
        low, high: Lowest and highest value that was logged.
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]
    times: tuple[float, ...]
    count: int
    low: float
    high: float

    @property
    def last(self) -> float:
        """Last value that was logged."""
        return self.values[-1]


class LoggedImage(Document):
    """An image.

    Attributes:
        media_type: `image/png` or `image/jpeg`.
        data: Content in base64.
    """

    media_type: Literal["image/png", "image/jpeg"]
    data: str

    @property
    def content(self) -> bytes:
        """PNG or JPEG."""
        return base64.b64decode(self.data)

    def _repr_png_(self) -> bytes | None:
        return self.content if self.media_type == "image/png" else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.content if self.media_type == "image/jpeg" else None


class LoggedTable(Document):
    """The first rows and columns of a table.

    Attributes:
        all_rows, all_columns: Numbers of rows and columns of the whole table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    all_rows: int
    all_columns: int

    def _repr_html_(self) -> str:
        from flowyml_aws.core.sheets import Sheet, to_html  # not needed in a job

        rows = [tuple("" if cell is None else str(cell) for cell in row) for row in self.rows]
        left_out = (self.all_rows > len(rows), self.all_columns > len(self.columns))
        size = f"{self.all_rows:,} rows × {self.all_columns:,} columns"
        return to_html([Sheet("", self.columns, rows, lines=(size,) if any(left_out) else ())])


class LoggedText(Document):
    """A string.

    Attributes:
        is_cut: Whether the end is missing, because the string was too long.
    """

    text: str
    is_cut: bool = False


class StepLogged(Document):
    """Logged values of a step, by name, of its last attempt.

    Attributes:
        left_out: Names that were not kept, with the reason.
    """

    metrics: dict[str, MetricSeries] = Field(default_factory=dict)
    images: dict[str, LoggedImage] = Field(default_factory=dict)
    tables: dict[str, LoggedTable] = Field(default_factory=dict)
    texts: dict[str, LoggedText] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)


class JobLogged(Document):
    """Logged values of one attempt, written only by its runner.

    Attributes:
        steps: Logged values by step, also of the steps that an earlier attempt completed.
    """

    version: Literal[1] = 1
    attempt: int
    steps: dict[str, StepLogged]


def read_logged(store: ArtifactStore, run_id: str, job: str, attempt: int) -> JobLogged | None:
    """Return the logged values of an attempt, or None if there are none or they are unreadable."""
    key = RunLayout(run_id).attempt(job, attempt, LOGGED)
    try:
        return read_document(JobLogged, store.get(key), f"{store.uri}/{key}")
    except (ArtifactNotFoundError, DamagedArtifactError):
        return None
