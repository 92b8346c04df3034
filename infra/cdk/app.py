"""A CDK app that creates an account with CPUs and T4 GPUs: `cdk deploy -c name=…`.

`flowyml_account.Options` describes all options; set options that the context lacks in this file.
"""

from __future__ import annotations

import json
import os
from typing import Any

import aws_cdk as cdk
from flowyml_account import Family, FlowymlAccount, Options


def options(context: Any) -> Options:
    """Read options from the context: `-c families='{"cpu": {}, "a10g": {"max_vcpus": 48}}'`."""
    values: dict[str, Any] = {}
    if (name := context("name")) is not None:
        values["name"] = name
    if (families := context("families")) is not None:
        parsed = json.loads(families) if isinstance(families, str) else families
        values["families"] = {key: Family(**family) for key, family in parsed.items()}
    if (email := context("alert_email")) is not None:
        values["alert_email"] = email
    return Options(**values)


app = cdk.App()
chosen = options(app.node.try_get_context)
account, region = os.environ.get("CDK_DEFAULT_ACCOUNT"), os.environ.get("CDK_DEFAULT_REGION")
stack = cdk.Stack(
    app,
    f"flowyml-{chosen.name}",
    env=cdk.Environment(account=account, region=region),
    synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
)
FlowymlAccount(stack, "Account", options=chosen)
app.synth()
