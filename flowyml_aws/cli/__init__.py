"""The command line."""

from __future__ import annotations

from flowyml_aws.cli.main import main

__all__ = ["main"]
