"""The grants of the account's policies that the tests use. A whole run fails if one is unused."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

import pytest

# Modules of the emulator are imported where they are used: moto would slow down unit tests.
if TYPE_CHECKING:
    from flowyml_aws.testing import Emulator
    from flowyml_aws.testing.iam.permissions import Need
    from flowyml_aws.testing.iam.policies import Policy

__all__ = ["Grant", "UsedGrants", "grants", "grants_used"]

Grant = tuple[str, str, str]
"""Role, action and resource pattern."""

ROLES = ("user", "job", "execution", "driver", "sagemaker")

# Docker calls these operations of ECR; the emulator has no registry that it can push to.
PUSHING = "docker pushes an image"
UNUSED: Mapping[tuple[str, str], str] = {
    ("user", "ecr:GetAuthorizationToken"): PUSHING,
    ("user", "ecr:BatchCheckLayerAvailability"): PUSHING,
    ("user", "ecr:BatchGetImage"): PUSHING,
    ("user", "ecr:CompleteLayerUpload"): PUSHING,
    ("user", "ecr:GetDownloadUrlForLayer"): PUSHING,
    ("user", "ecr:InitiateLayerUpload"): PUSHING,
    ("user", "ecr:PutImage"): PUSHING,
    ("user", "ecr:UploadLayerPart"): PUSHING,
}
"""Grants that no test uses, with their purpose."""


@cache
def _policy(role: str) -> Policy:
    from flowyml_aws.testing.account import placeholders
    from flowyml_aws.testing.account_policies import account_policy
    from flowyml_aws.testing.iam.policies import Policy

    return Policy.parse(account_policy(role, placeholders()), role)


def grants() -> Iterator[Grant]:
    """Yield all grants of the account's policies."""
    for role in ROLES:
        for statement in _policy(role).statements:
            for action in statement.actions:
                for resource in statement.resources:
                    yield role, action, resource


def grants_used(role: str, need: Need) -> Iterator[Grant]:
    """Yield the grants of a role's policy that allow a permission."""
    from flowyml_aws.testing.iam.conditions import Context
    from flowyml_aws.testing.iam.patterns import wildcard

    for statement in _policy(role).statements:
        if statement.applies_to(need.action, need.resource, Context(need.context)):
            for action in statement.actions:
                for resource in statement.resources:
                    pattern = wildcard(resource)
                    if action == need.action and pattern and pattern.fullmatch(need.resource):
                        yield role, action, resource


class UsedGrants:
    """Collects the grants that the emulators of a pytest run use, on all of its workers."""

    KEY = "used_grants"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._used: set[Grant] = set()
        self._undo = pytest.MonkeyPatch()

    def pytest_collection_finish(self) -> None:
        if "flowyml_aws.testing.emulator" not in sys.modules:
            return  # no collected test uses one
        from flowyml_aws.testing import Emulator

        stop, collect = Emulator.stop, self._collect

        def stop_and_collect(self: Emulator) -> None:
            if (guard := getattr(self, "guard", None)) is not None:
                collect(guard.used)
            stop(self)

        self._undo.setattr(Emulator, "stop", stop_and_collect)

    def pytest_testnodedown(self, node: object) -> None:
        output = getattr(node, "workeroutput", {})
        self._used.update(tuple(grant) for grant in output.get(self.KEY, ()))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._undo.undo()
        if (output := getattr(self._config, "workeroutput", None)) is not None:
            output[self.KEY] = sorted(self._used)
        elif session.exitstatus == pytest.ExitCode.OK and self.unused():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for role, action, resource in self.unused():
            terminalreporter.write_line(f"UNUSED PERMISSION {role}: {action} on {resource}")

    def unused(self) -> list[Grant]:
        """Return the grants without a use; empty if only a part of the tests was run."""
        option = self._config.option
        is_whole = (
            self._config.args_source is not pytest.Config.ArgsSource.ARGS
            and not option.keyword
            and not option.markexpr
            and not option.collectonly
            and not getattr(option, "lf", False)
        )
        return [g for g in grants() if g not in self._used and g[:2] not in UNUSED] * is_whole

    def _collect(self, used: Mapping[str, Iterable[Need]]) -> None:
        from flowyml_aws.testing.account import PREFIX

        for name, needs in used.items():
            role = name.removeprefix(f"{PREFIX}-")
            if role in ROLES:
                self._used.update(grant for need in needs for grant in grants_used(role, need))
