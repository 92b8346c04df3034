"""A CDK app that creates an account with CPUs and T4 GPUs: `cdk deploy -c name=…`.

`flowyml_account.Options` describes all options. Each is a name in the context, and
`-c options=FILE` reads them from a file: see `flowyml_account/context.py`.
"""

from __future__ import annotations

import os
import sys

import aws_cdk as cdk
from flowyml_account import FlowymlAccount, read_options

app = cdk.App(analytics_reporting=False)
try:
    options = read_options(app.node.get_all_context())
except ValueError as error:
    sys.exit(str(error))
account, region = os.environ.get("CDK_DEFAULT_ACCOUNT"), os.environ.get("CDK_DEFAULT_REGION")
stack = cdk.Stack(
    app,
    f"flowyml-{options.name}",
    env=cdk.Environment(account=account, region=region),
    synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
)
FlowymlAccount(stack, "Account", options=options)
app.synth()
