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
from flowyml_aws.packaging.pickling import dump_code, dump_parts
from flowyml_aws.packaging.unpicklable import explain_unpicklable
from flowyml_aws.runtime.payload import CarriedValue, PackedSteps, Payload

__all__ = ["StepPayload", "make_payload"]


_LARGE_BYTES = 16 * 2**20


class StepPayload:
    """Pickled steps with their digest.

    Attributes:
        large: Pickled large values, which jobs of a run share, with their digests, in the order
            in which they are loaded.
    """

    __slots__ = ("data", "large", "sha256")

    def __init__(self, data: bytes, large: Sequence[tuple[str, bytes]] = ()) -> None:
        self.data, self.sha256 = data, hashlib.sha256(data).hexdigest()
        self.large = tuple(large)


def make_payload(
    steps: Sequence[Step],
    context: Mapping[str, Any],
    decision: Decision | None = None,
    given: bytes | None = None,
    large_bytes: int = _LARGE_BYTES,
) -> StepPayload:
    """Pickle the steps of one job together with the values that the job carries.

    Args:
        steps: Steps of the job.
        context: Context values that the steps read.
        decision: Names that the job carries and loads; None if it carries none.
        given: Pickled values by name that the script has before its top level runs.
        large_bytes: Size of a pickled value above which it is stored once for all jobs of a run.

    Raises:
        UnpicklableStepError: A step or a value can't be pickled; names the step and the variable.
    """
    decision = decision or Decision()
    carried = tuple(CarriedValue(name, value) for name, value in decision.carried.items())
    payload = Payload(
        {step.name: step for step in steps}, dict(context), carried, sorted(decision.deleted)
    )
    try:
        loaded, names = decision.loaded, decision.carried.keys()
        parts, files = dump_parts([payload], loaded, names)
        if len(parts[0]) > large_bytes:
            # In one order, because a part also depends on those before it.
            values = [*decision.carried.values(), *(context[name] for name in sorted(context))]
            large_values = [
                value
                for value in {id(value): value for value in values}.values()
                if len(dump_code(value, loaded, names)[0]) > large_bytes
            ]
            parts, files = dump_parts([*large_values, payload], loaded, names)
    except Exception as error:  # pickling can raise any exception: `__reduce__` is the user's code
        raise explain_unpicklable(steps, context, decision.carried, error) from error
    *large_parts, pickled = parts
    large = [(hashlib.sha256(part).hexdigest(), part) for part in large_parts]
    packed = PackedSteps(
        sources=_sources(files),
        pickled=pickled,
        large=[sha256 for sha256, _ in large],
        uses_flowyml="flowyml" in sys.modules,
        given=given,
        evaluated=dict(decision.digests),
        by_source=sorted(decision.by_source),  # equal programs have equal payloads
    )
    # A copy: `dumps` allocates more, and gives back memory that other payloads can't use.
    return StepPayload(bytes(memoryview(pickle.dumps(packed, protocol=5))), large)


def _sources(files: Iterable[str]) -> dict[str, str]:
    return {name: text for name in sorted(files) if (text := "".join(linecache.getlines(name)))}
