"""Terminal output of plans, instance types, runs and check reports."""

from __future__ import annotations

from flowyml_aws.view.catalog import catalog_table
from flowyml_aws.view.instances import candidates_table, explanation
from flowyml_aws.view.listing import runs_table
from flowyml_aws.view.plan import plan_table
from flowyml_aws.view.run import (
    expected_duration_s,
    failure_texts,
    job_table,
    status_table,
    watching,
)
from flowyml_aws.view.sheets import sheet_tables
from flowyml_aws.view.terminal import program

__all__ = [
    "candidates_table",
    "catalog_table",
    "expected_duration_s",
    "explanation",
    "failure_texts",
    "job_table",
    "plan_table",
    "program",
    "runs_table",
    "sheet_tables",
    "status_table",
    "watching",
]
