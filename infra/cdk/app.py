"""An account with CPUs and T4 GPUs: `cdk deploy`, with `-c name=…` and what else is read here.

`flowyml_account.Options` says what can be chosen; what the context can't say is changed here.
"""

from __future__ import annotations

import json
import os
from typing import Any

import aws_cdk as cdk
from flowyml_account import Family, FlowymlAccount, Options


def options(context: Any) -> Options:
    """What the context says: `-c families='{"cpu": {}, "a10g": {"max_vcpus": 48}}'`."""
    given: dict[str, Any] = {}
    if (name := context("name")) is not None:
        given["name"] = name
    if (families := context("families")) is not None:
        told = json.loads(families) if isinstance(families, str) else families
        given["families"] = {key: Family(**family) for key, family in told.items()}
    if (email := context("alert_email")) is not None:
        given["alert_email"] = email
    return Options(**given)


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
