"""The value of an input whose step was skipped."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Skipped"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Placeholder of an asset that does not exist, because its step was skipped.

    A step gets it for a parameter without a default whose annotation allows it, such as
    `model: Model | Skipped`. Any other consumer of the asset is skipped, too.

    Attributes:
        asset: Name of the asset.
        reason: The cause, such as "the condition of step 'train' is false".
    """

    asset: str
    reason: str
