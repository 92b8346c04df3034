"""Synthesizes an account with cdk-nag; runs where CDK is installed, which is not here.

    python cdk_program.py FOLDER_OF_CDK OUT OPTIONS

OPTIONS is JSON. The template is OUT/flowyml.template.json; the exit code is not 0 where a rule is
broken that nobody acknowledged.
"""

from __future__ import annotations

import json
import sys


def main(folder: str, out: str, told: str) -> None:
    sys.path.insert(0, folder)
    import aws_cdk as cdk  # type: ignore[import-not-found]
    import cdk_nag  # type: ignore[import-not-found]
    from flowyml_account import (  # type: ignore[import-not-found]
        Family,
        FlowymlAccount,
        Options,
    )

    options = json.loads(told)
    options["families"] = {key: Family(**given) for key, given in options["families"].items()}
    app = cdk.App(outdir=out)
    synthesizer = cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False)
    stack = cdk.Stack(app, "flowyml", synthesizer=synthesizer)
    FlowymlAccount(stack, "Account", options=Options(**options))
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app, verbose=True))
    app.synth()


if __name__ == "__main__":
    main(*sys.argv[1:])
