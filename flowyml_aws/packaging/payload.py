"""The payload of a job: its pickled steps."""

from __future__ import annotations

import hashlib
import linecache
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowyml_aws.core.step import Step
from flowyml_aws.packaging.pickling import dump_code
from flowyml_aws.packaging.unpicklable import explain_unpicklable
from flowyml_aws.runtime.code import PackedSteps, Payload

__all__ = ["StepPayload", "make_payload"]


class StepPayload:
    """Pickled steps with their digest."""

    __slots__ = ("data", "sha256")

    def __init__(self, data: bytes) -> None:
        self.data, self.sha256 = data, hashlib.sha256(data).hexdigest()


def make_payload(steps: Sequence[Step], context: Mapping[str, Any]) -> StepPayload:
    """Pickle the steps of one job together, so that they share the globals of their script.

    Raises:
        UnpicklableStepError: A step can't be pickled; names the step and the variable.
    """
    payload = Payload({step.name: step for step in steps}, dict(context))
    try:
        pickled, files = dump_code(payload)
    except Exception as error:  # pickling can raise any exception: `__reduce__` is the user's code
        raise explain_unpicklable(steps, context, error) from error
    packed = PackedSteps(_sources(files), pickled, uses_flowyml="flowyml" in sys.modules)
    return StepPayload(pickle.dumps(packed, protocol=5))


def _sources(files: Iterable[str]) -> dict[str, str]:
    return {name: text for name in sorted(files) if (text := "".join(linecache.getlines(name)))}
