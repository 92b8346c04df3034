"""Names for which the user decides whether a job gets the client's value or makes its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.errors import FlowymlError, SettingsError
from flowyml_aws.core.spelling import did_you_mean
from flowyml_aws.packaging.decision import is_named
from flowyml_aws.packaging.pickling import dump_without
from flowyml_aws.packaging.survey import Survey
from flowyml_aws.runtime.program import Program
from flowyml_aws.scripts import Script

__all__ = ["Choices"]


@dataclass(frozen=True, slots=True)
class Choices:
    """Names of globals, `NAME` or `module.NAME`.

    Attributes:
        carry: Names whose values are carried to the jobs.
        evaluate: Names that each job evaluates again.
    """

    carry: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()

    def given(self, program: Program) -> bytes | None:
        """Return the carried values of the script that it can have before its top level runs.

        The top level does not assign these names then, so that a job does not need what they are
        made from, such as a file of the client. Values of the script's own classes are not
        included: they exist only after the script was executed.
        """
        if program.script is None:
            return None
        names = vars(sys.modules["__main__"])
        module = Script(program.script, program.package).module
        values: dict[str, Any] = {}
        for name in self.carry:
            if name in names and dump_without(module, names[name]) is not None:
                values[name] = names[name]
        return dump_without(module, values) if values else None

    def problems(self, survey: Survey) -> Iterator[FlowymlError]:
        """Yield an error for each name that neither the steps nor the script has."""
        # The steps may also use a name that is missing here, but not when a job loads the program.
        bindings = {*survey.bindings, *survey.missing}
        known = {name for binding in bindings for name in (binding.name, str(binding))}
        known |= {name for name in vars(sys.modules["__main__"]) if not name.startswith("__")}
        for argument, names in (("carry", self.carry), ("evaluate", self.evaluate)):
            for name in names:
                if name not in known:
                    yield SettingsError(
                        what=f"{argument}={name!r}: the program has no such global name",
                        why="the steps do not use it, and the script does not define it",
                        fix=did_you_mean(name, sorted(known), "correct or remove it"),
                    )
        evaluated = {binding for binding in bindings if is_named(binding, self.evaluate)}
        for name in dict.fromkeys(self.carry):
            if name in self.evaluate or any(is_named(binding, [name]) for binding in evaluated):
                yield SettingsError(
                    what=f"{name!r} is in carry= and in evaluate=",
                    why="a job either gets the client's value or evaluates its own",
                    fix="remove it from one of them",
                )
