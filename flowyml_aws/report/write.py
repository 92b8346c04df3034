"""Reports as files."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.report.data import RunReport
from flowyml_aws.report.tables import to_csv

__all__ = ["write_data", "write_page"]


def write_page(report: RunReport, path: Path) -> Path:
    """Write the report as an HTML page. Return its absolute path.

    Raises:
        SettingsError: The file can't be written.
    """
    from flowyml_aws.report.page import to_html

    return _write(path, to_html(report).encode())


def write_data(report: RunReport, path: Path) -> Path:
    """Write all figures as JSON or CSV, by the ending of the file. Return its absolute path.

    Raises:
        SettingsError: The file can't be written, or has another ending.
    """
    formats: dict[str, Callable[[RunReport], bytes]] = {
        ".json": RunReport.to_json,
        ".csv": lambda report: to_csv(report).encode(),
    }
    make = formats.get(path.suffix.lower())
    if make is None:
        raise SettingsError(
            what=f"Unsupported format of --data {path}",
            why=f"the suffix of the file selects the format: {', '.join(formats)}",
            fix=f"write --data {path.with_suffix('.json')}",
        )
    return _write(path, make(report))


def _write(path: Path, data: bytes) -> Path:
    partial = path.with_name(f".{uuid.uuid4().hex}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise SettingsError(
            what=f"Can't write to {path}", why=str(error), fix="name another file"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return path.absolute()
