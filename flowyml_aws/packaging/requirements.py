"""Resolution of the setting `requirements`, before anything is submitted."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flowyml_aws.core.errors import RequirementsError
from flowyml_aws.packaging.pip_syntax import logical_lines
from flowyml_aws.runtime.certificates import is_untrusted
from flowyml_aws.runtime.layer import uv_command
from flowyml_aws.runtime.spec import PackageLayer

__all__ = ["resolve_requirements"]

_OPTIONS = ("--index-url", "--extra-index-url", "--find-links", "--no-index")
# Wheels that images based on Debian 12 or later can load.
_PLATFORM = "x86_64-manylinux_2_28"
_TAIL = 4000  # characters of uv's output


def resolve_requirements(lines: Sequence[str]) -> PackageLayer:
    """Resolve requirements to all packages, with their versions and the hashes of their wheels.

    Args:
        lines: Value of the setting: requirements in pip's syntax, and options that name an index.

    Raises:
        RequirementsError: uv is missing, a line is not allowed, or no wheels satisfy them.
    """
    lines = [part for entry in lines for line in entry.splitlines() if (part := line.strip())]
    for line in lines:
        _check(line)
    options = tuple(line for line in lines if line.startswith("-"))
    command = [*uv_command(), "pip", "compile", "--no-config", "--quiet", "--generate-hashes"]
    command += ["--only-binary", ":all:", "--no-header", "--no-annotate"]
    command += ["--python-version", f"{sys.version_info.major}.{sys.version_info.minor}"]
    command += ["--python-platform", _PLATFORM]
    with tempfile.TemporaryDirectory(prefix="flowyml-aws-") as folder:
        file = Path(folder) / "requirements.in"
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        done = subprocess.run(
            [*command, str(file)], capture_output=True, text=True, errors="replace", check=False
        )
    if done.returncode:
        raise RequirementsError(
            what="The setting `requirements` can't be resolved",
            why=f"uv ended with {done.returncode}: {done.stderr.strip()[-_TAIL:]}",
            fix="let uv use the certificates that this machine trusts (UV_SYSTEM_CERTS=true, or "
            "UV_NATIVE_TLS=true for an older uv); for jobs, set `ca_certificates`"
            if is_untrusted(done.stderr)
            else "correct the requirements; put packages without Linux wheels into an image "
            "(`image_requirements` and `flowyml-aws image push`)",
        )
    return PackageLayer(requirements=tuple(logical_lines(done.stdout)), options=options)


def _check(line: str) -> None:
    option = re.split(r"[\s=]", line, maxsplit=1)[0] if line.startswith("-") else ""
    # Options of one requirement, and of the next line if this one continues there.
    after = re.search(r"\s-|\\$", line.partition(" #")[0][len(option) :])
    if (option and option not in _OPTIONS) or after:
        raise RequirementsError(
            what=f"Option not allowed in the setting `requirements`: {line!r}",
            why=f"the only options allowed are {', '.join(_OPTIONS)}",
            fix="write one requirement per entry, such as 'numpy>=2'",
        )
    if re.search(r"://[^/\s@]+@", line):
        raise RequirementsError(
            what="The setting `requirements` contains a user name or password in a URL",
            why="it is written to the store with each job, where others can read it",
            fix="install packages from a private index in the image: use `image_requirements`, and "
            "set PIP_CONFIG_FILE to a pip.conf",
        )
