"""An AWS account for flowyml-aws as a construct; `infra/terraform` creates the same account."""

from __future__ import annotations

from flowyml_account.account import FlowymlAccount
from flowyml_account.context import read_options
from flowyml_account.options import Family, Options

__all__ = ["Family", "FlowymlAccount", "Options", "read_options"]
