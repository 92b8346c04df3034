"""The report of the digits example in `docs/reports/`: made again, and compared.

`scripts/digits-report` writes three files: the figures of a run, the page that the code makes of
them, and a picture of the page. The figures are of a real run, with fixed names, paths and times of
day. A test compares the page with what the code makes now, except for the compressed form of its
data. Another test compares the figures with those of a new run, except for what `skeleton` drops.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from flowyml_aws.report.data import RunReport
from tests.support.browser import Page

__all__ = ["FOLDER", "contents", "read_figures", "skeleton", "stable_report", "take_picture"]

FOLDER = Path(__file__).parents[2] / "docs" / "reports"
_RUN_ID = "digits-20261130-090000-3f9a1c"
_CREATED_AT = 1_796_029_200.0  # the time in the id
_ROOT = "/projects/digits"
_PACKAGES = ("flowyml-aws", "matplotlib", "numpy", "pydantic", "scikit-learn", "scipy")
# Measured on the machine that ran it, or dependent on the versions of packages.
_DROPPED = frozenset(("curves", "segments", "is_estimated", "usage", "packages", "uri", "run_id"))


def read_figures() -> RunReport:
    """Return the figures in `docs/reports/digits.json`."""
    return RunReport.model_validate_json((FOLDER / "digits.json").read_bytes())


def stable_report(report: RunReport, root: Path) -> RunReport:
    """Return a report of the example without anything of the person and the machine that ran it.

    Args:
        report: Report of a run.
        root: Folder of the project that ran it.
    """
    assert report.origin is not None
    packages = {name: report.origin.packages[name] for name in _PACKAGES}
    origin = report.origin.model_copy(
        update={"user": "ana", "client": "laptop", "git": None, "packages": packages}
    )
    figures = report.model_copy(update={"origin": origin}).model_dump(mode="json")
    text = json.dumps(_shifted(figures, _CREATED_AT - report.created_at))
    text = text.replace(str(root), _ROOT).replace(report.run_id, _RUN_ID)
    return RunReport.model_validate_json(text)


def skeleton(value: Any) -> Any:
    """Return what two runs of the example have in common: without numbers and measurements."""
    if isinstance(value, RunReport):
        return skeleton(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {name: skeleton(item) for name, item in value.items() if name not in _DROPPED}
    if isinstance(value, list):
        return [skeleton(item) for item in value]
    if isinstance(value, str):
        hidden = "#" if len(value) > 1000 or re.fullmatch("[0-9a-f]{64}", value) else value
        return re.sub(r"\d+(\.\d+)?", "#", hidden.replace("GPU", "CPU"))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "#" if is_number else value


def contents(page: str) -> dict[str, Any]:
    """Return the HTML of a page without its data, and the data that it contains compressed.

    The bytes of compressed data depend on the version of zlib.
    """
    packed = re.findall(r'<script type="text/plain" id="([^"]*)">([^<]*)</script>', page)
    html = re.sub(r'(<script type="text/plain" id="[^"]*">)[^<]*', r"\1", page)
    data = {name: gzip.decompress(base64.b64decode(text)).decode() for name, text in packed}
    return {"html": html, **data}


def take_picture(page: Page, picture: Path) -> None:
    """Write a picture of the start of the report, with its logged values. It makes no request.

    Args:
        page: New page of a browser.
        picture: PNG file.
    """
    page.open(FOLDER / "digits.html", width=1280)
    page.wait_for("document.querySelector('.logged img')?.naturalWidth")
    page.screenshot(picture, max_height=1715)
    assert page.requests == [] and page.messages == []


def _shifted(value: Any, shift_s: float) -> Any:
    """Return figures in which all times of day are later."""
    if isinstance(value, dict):
        return {name: _shifted(item, shift_s) for name, item in value.items()}
    if isinstance(value, list):
        return [_shifted(item, shift_s) for item in value]
    is_time = isinstance(value, float) and value > 1e9
    return round(value + shift_s, 3) if is_time else value
