"""The command line."""

from flowyml_aws.cli.main import main

__all__ = ["main"]
