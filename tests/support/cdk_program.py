"""Synthesizes an account with cdk-nag; runs in the environment that has CDK installed.

    python cdk_program.py FOLDER_OF_CDK OUT OPTIONS ZONES

OPTIONS is JSON. ZONES is a list in JSON: the availability zones of the account. If it is empty, the
stack has no account and no region. The template is OUT/flowyml.template.json. The exit code is not
0 if a rule is broken and not acknowledged.
"""

from __future__ import annotations

import json
import sys


def main(folder: str, out: str, arguments: str, zones: str) -> None:
    sys.path.insert(0, folder)
    import aws_cdk as cdk  # type: ignore[import-not-found]
    import cdk_nag  # type: ignore[import-not-found]
    from flowyml_account import FlowymlAccount, read_options  # type: ignore[import-not-found]

    known = {"availability-zones:account=123456789012:region=us-east-1": json.loads(zones)}
    app = cdk.App(outdir=out, context=known, analytics_reporting=False)
    account = {"account": "123456789012", "region": "us-east-1"} if json.loads(zones) else {}
    synthesizer = cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False)
    environment = cdk.Environment(**account)
    stack = cdk.Stack(app, "flowyml", env=environment, synthesizer=synthesizer)
    FlowymlAccount(stack, "Account", options=read_options(json.loads(arguments)))
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app, verbose=True))
    app.synth()


if __name__ == "__main__":
    main(*sys.argv[1:])
