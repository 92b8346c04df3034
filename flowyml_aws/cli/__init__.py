"""The command line."""

from __future__ import annotations

from flowyml_aws.core.imports import uncollected

with uncollected():
    from flowyml_aws.cli.main import main

__all__ = ["main"]
