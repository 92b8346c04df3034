"""Requirements in pip's syntax, and the lines that an image supports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.errors import SettingsError

__all__ = ["INSTEAD", "Requirements", "check_line"]

INSTEAD = "list the requirements of the image in the setting `image_requirements`"
"""Advice for errors: the source that takes precedence over all others."""

# pip options that are allowed in requirements of an image.
_OPTIONS = (
    "--index-url",
    "-i",
    "--extra-index-url",
    "--no-index",
    "--pre",
    "--prefer-binary",
    "--only-binary",
    "--no-binary",
    "--require-hashes",
)


@dataclass(frozen=True, slots=True)
class Requirements:
    """Requirements and constraints in pip's syntax.

    Attributes:
        lines: Requirements to install, and options.
        constraints: Versions of packages, if another requirement needs them.
        source: Description of the source, for messages.
    """

    lines: tuple[str, ...]
    constraints: tuple[str, ...]
    source: str

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to install: no lines, or only options."""
        return all(line.startswith("-") for line in self.lines)


def check_line(line: Any, source: str) -> str:
    """Return the line if an image can install it.

    Args:
        line: A requirement or an option.
        source: Name of the file or setting that contains it, for the error.

    Raises:
        SettingsError: The line refers to this machine, contains a password, or is malformed.
    """
    if not isinstance(line, str) or "\n" in line:
        raise SettingsError(
            what=f"Invalid requirement {line!r} in {source}",
            why="it must be a string on one line, such as 'numpy>=2'",
            fix="correct it",
        )
    option = re.split(r"[ =]", line, maxsplit=1)[0]
    if option.startswith("-") and option not in _OPTIONS:
        is_local = option in ("-e", "--editable", "-f", "--find-links")
        raise SettingsError(
            what=f"Unsupported requirement {line!r} in {source}",
            why="it refers to files on this machine; the code of your project is sent with each run"
            if is_local
            else f"requirements of an image support only the pip options {', '.join(_OPTIONS)}",
            fix=f"remove it, or {INSTEAD}",
        )
    if re.match(r"\.{0,2}/|~/|.*@\s*file:|file:|[A-Za-z]:\\|[^ ]+\.whl$", line):
        raise SettingsError(
            what=f"Unsupported requirement {line!r} in {source}",
            why="it refers to a file on this machine",
            fix=f"publish it to a package index, put its code into the project, or {INSTEAD}",
        )
    if (
        re.search(r"://[^/\s@]+@", line)
        and not line.startswith("git+ssh")
        and "git+ssh" not in line
    ):
        raise SettingsError(
            what=f"A line in {source} contains a user name or a password in its URL",
            why="everyone who can pull the image could read it",
            fix="put the URL into a pip.conf and set PIP_CONFIG_FILE to its path: "
            "it is used during the build and is not stored in the image",
        )
    return line
