"""The payload of a job: its pickled steps."""

from __future__ import annotations

import hashlib
import linecache
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flowyml_aws.core.step import Step
from flowyml_aws.packaging.decision import Decision
from flowyml_aws.packaging.pickling import dump_code
from flowyml_aws.packaging.unpicklable import explain_unpicklable
from flowyml_aws.runtime.payload import CarriedValue, PackedSteps, Payload

__all__ = ["StepPayload", "make_payload"]


class StepPayload:
    """Pickled steps with their digest."""

    __slots__ = ("data", "sha256")

    def __init__(self, data: bytes) -> None:
        self.data, self.sha256 = data, hashlib.sha256(data).hexdigest()


def make_payload(
    steps: Sequence[Step],
    context: Mapping[str, Any],
    decision: Decision | None = None,
    given: bytes | None = None,
) -> StepPayload:
    """Pickle the steps of one job together with the values that the job carries.

    Args:
        steps: Steps of the job.
        context: Context values that the steps read.
        decision: Names that the job carries and loads; None if it carries none.
        given: Pickled values by name that the script has before its top level runs.

    Raises:
        UnpicklableStepError: A step or a value can't be pickled; names the step and the variable.
    """
    decision = decision or Decision()
    carried = tuple(CarriedValue(name, value) for name, value in decision.carried.items())
    payload = Payload(
        {step.name: step for step in steps}, dict(context), carried, sorted(decision.deleted)
    )
    try:
        pickled, files = dump_code(payload, decision.loaded, decision.carried.keys())
    except Exception as error:  # pickling can raise any exception: `__reduce__` is the user's code
        raise explain_unpicklable(steps, context, decision.carried, error) from error
    packed = PackedSteps(
        sources=_sources(files),
        pickled=pickled,
        uses_flowyml="flowyml" in sys.modules,
        given=given,
        evaluated=dict(decision.digests),
        by_source=sorted(decision.by_source),  # equal programs have equal payloads
    )
    return StepPayload(pickle.dumps(packed, protocol=5))


def _sources(files: Iterable[str]) -> dict[str, str]:
    return {name: text for name in sorted(files) if (text := "".join(linecache.getlines(name)))}
