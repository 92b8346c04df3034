"""Pages from templates, with everything that they need inside, and a policy against requests."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flowyml_aws.report.wording import (
    bytes_text,
    duration_text,
    figure_text,
    readable,
    time_text,
    usd_text,
)

__all__ = ["packed_json", "render"]


@dataclass(frozen=True, slots=True)
class _Page:
    """The parts that all pages have.

    Attributes:
        policy: Content security policy: only these scripts, and no requests.
        style: Style sheet.
        code: Script of the page.
        library: Charts and graph layout, compressed.
    """

    policy: str
    style: Markup
    code: Markup
    library: str


def render(template: str, scripts: Sequence[str], *, connects: bool = False, **values: Any) -> str:
    """Return a page. Every string in the values is escaped, and its hidden characters are shown.

    Args:
        template: Name of the template.
        scripts: Names of the scripts in `templates/`, in order.
        connects: Whether the page may send requests to the server that it comes from.
        values: Values by their name in the template.
    """
    code = "".join(_file(f"templates/{name}") for name in scripts)
    library = _file("vendor/charts.js")
    page = _Page(
        policy=f"default-src 'none'; script-src {_source(code)} {_source(library)}; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
        + ("; connect-src 'self'" if connects else ""),
        # Files of this package.
        style=Markup(_file("templates/report.css")),  # noqa: S704
        code=Markup(code),  # noqa: S704
        library=_packed(library.encode()),
    )
    return _environment().get_template(template).render(page=page, **values)


def packed_json(value: Any) -> str:
    """Return a JSON value, compressed and in base64, as `unpacked` in `base.js` reads it."""
    return _packed(json.dumps(_readable(value), separators=(",", ":")).encode())


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("flowyml_aws.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: readable(value) if type(value) is str else value,
    )
    environment.filters.update(
        bytes=bytes_text, duration=duration_text, figure=figure_text, time=time_text, usd=usd_text
    )
    return environment


def _file(name: str) -> str:
    return files("flowyml_aws.report").joinpath(name).read_text("utf-8")


def _source(script: str) -> str:
    """Return the source expression of a script for a policy."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {readable(key): _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value
