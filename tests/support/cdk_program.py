"""Synthesizes an account with cdk-nag; runs in the environment that has CDK installed.

    python cdk_program.py FOLDER_OF_CDK OUT OPTIONS

OPTIONS is JSON. The template is OUT/flowyml.template.json. The exit code is not 0 if a rule is
broken and not acknowledged.
"""

from __future__ import annotations

import json
import sys


def main(folder: str, out: str, arguments: str) -> None:
    sys.path.insert(0, folder)
    import aws_cdk as cdk  # type: ignore[import-not-found]
    import cdk_nag  # type: ignore[import-not-found]
    from flowyml_account import (  # type: ignore[import-not-found]
        Family,
        FlowymlAccount,
        Options,
    )

    options = json.loads(arguments)
    options["families"] = {key: Family(**family) for key, family in options["families"].items()}
    app = cdk.App(outdir=out)
    synthesizer = cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False)
    stack = cdk.Stack(app, "flowyml", synthesizer=synthesizer)
    FlowymlAccount(stack, "Account", options=Options(**options))
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app, verbose=True))
    app.synth()


if __name__ == "__main__":
    main(*sys.argv[1:])
