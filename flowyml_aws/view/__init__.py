"""Plans and runs as a person reads them on a terminal."""

from __future__ import annotations

from flowyml_aws.view.catalog import catalog_table
from flowyml_aws.view.instances import candidates_table, explanation
from flowyml_aws.view.plan import plan_table
from flowyml_aws.view.program import program
from flowyml_aws.view.run import failures, status_table, watching

__all__ = [
    "candidates_table",
    "catalog_table",
    "explanation",
    "failures",
    "plan_table",
    "program",
    "status_table",
    "watching",
]
