"""Secrets of a job: environment variables with values that the log must not show."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from flowyml_aws.runtime.log import hide, masked

__all__ = ["provide_secrets"]


def provide_secrets(references: Mapping[str, str], resolve: Callable[[str], str]) -> None:
    """Set the variables of a job's secrets, and mask their values in its output.

    A variable that is set already keeps its value: AWS Batch has resolved it, or the user of this
    machine has set it.

    Args:
        references: References by environment variable.
        resolve: Returns the value of a reference.

    Raises:
        AwsRefusedError: A secret can't be read.
    """
    if not references:
        return
    for name, reference in references.items():
        if name not in os.environ:
            os.environ[name] = resolve(reference)
        hide(os.environ[name])
    # Before the user's code is loaded, which may keep references to the streams.
    sys.stdout, sys.stderr = _mask(sys.stdout), _mask(sys.stderr)


class _MaskedStream(io.TextIOWrapper):
    """Standard output without secrets. The output of child processes bypasses it."""

    def write(self, text: str, /) -> int:
        super().write(masked(text))
        return len(text)


def _mask(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # closed, or replaced by a test
    # A new file: the old one may remember properties of another file that had its descriptor.
    file = open(stream.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115
    return _MaskedStream(file, stream.encoding, stream.errors, write_through=True)
