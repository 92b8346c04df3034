"""Requirements files of pip, with the files that they include."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.requirements.lines import Requirements, check_line
from flowyml_aws.packaging.pip_syntax import decode, logical_lines

__all__ = ["read_lines"]

_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:[ =]|(?<=-[rc]))\s*(.+)")


def read_lines(lines: Iterable[str], folder: Path, source: str) -> Requirements:
    """Return requirements with the contents of the files that they include.

    Args:
        lines: Requirements in pip's syntax, also `-r FILE` and `-c FILE`.
        folder: Folder that the names of files are relative to.
        source: Name of the file or setting that contains the lines, for messages.

    Raises:
        SettingsError: A file can't be read, or a line needs more than a package index.
    """
    constraints: list[str] = []
    requirements = tuple(_expand(lines, folder, source, constraints, ()))
    return Requirements(requirements, tuple(constraints), source)


def _expand(
    lines: Iterable[str],
    folder: Path,
    source: str,
    constraints: list[str],
    opened: tuple[Path, ...],
) -> Iterator[str]:
    for line in lines:
        option = _INCLUDE.match(line) if isinstance(line, str) else None
        if option is None:
            yield check_line(line, source)
            continue
        file = Path(os.path.normpath(folder / option[2]))
        if file in opened:
            raise SettingsError(
                what=f"{file.name} includes itself",
                why="its `-r` or `-c` lines form a cycle",
                fix="remove one of these lines",
            )
        included = _expand(
            logical_lines(_text(file, source)),
            file.parent,
            file.name,
            constraints,
            (*opened, file),
        )
        if option[1] in ("-r", "--requirement"):
            yield from included
        else:
            constraints += included


def _text(file: Path, source: str) -> str:
    parent = f" (included by {source})" if source != file.name else ""
    try:
        return decode(file.read_bytes())
    except (OSError, UnicodeDecodeError, LookupError) as error:
        raise SettingsError(
            what=f"Can't read {file.name}{parent}",
            why=str(error),
            fix="correct the name or the contents of the file; if it is not UTF-8, write its "
            "encoding into a comment on the first line: `# -*- coding: latin-1 -*-`",
        ) from error
