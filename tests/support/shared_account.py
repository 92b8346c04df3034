"""An emulated account that the tests of a worker share, each with a store of its own.

As a program, it prints the account's settings, serves until stdin is closed, and prints the grants
that were used. Its arguments are modules to import before jobs start.
"""

from __future__ import annotations

import json
import shlex
import sys

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from flowyml_aws.testing.account import BUCKET, NAMES, PREFIX
from flowyml_aws.testing.account_policies import account_policy
from tests.support.collecting import collect_less_often
from tests.support.permissions import ROLES, record_used_grants, used_grants
from tests.support.rigs import raised_emulator

__all__ = ["share_stores"]


def share_stores() -> None:
    """Give the running account's roles their permissions in each store below the account's own.

    Not by requests, because policies that are changed so take effect after a delay.
    """
    names = {**NAMES, "store_arn": f"arn:aws:s3:::{BUCKET}/flowyml/*"}
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for role in ROLES:
        iam.put_role_policy(f"{PREFIX}-{role}", "stores", account_policy(role, names))


def main() -> None:
    record_used_grants(pytest.MonkeyPatch())
    with raised_emulator(failed_start_rate=0.1, warm_imports=sys.argv[1:]) as aws:
        share_stores()
        collect_less_often()
        for name, value in aws.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        sys.stdin.read()
        print(json.dumps(sorted(used_grants)))


if __name__ == "__main__":
    main()
