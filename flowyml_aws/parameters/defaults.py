"""Types of defaults: text for a parameter without an annotation becomes such a value."""

from __future__ import annotations

import dataclasses
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

from flowyml_aws.core.annotations import NO_TYPE

__all__ = ["type_of_default"]

_BUILT_IN = (float, complex, str, bytes, list, dict, set, frozenset)
_KEPT = (Enum, Decimal, Fraction, PurePath, date, time, timedelta, UUID, tuple)


def type_of_default(default: Any) -> Any:
    """Return the type that text for a parameter with this default has, or `NO_TYPE`.

    A default of 1 does not mean that the parameter takes no 0.5.
    """
    kind = type(default)
    if isinstance(default, bool):
        return bool
    if (
        isinstance(default, _KEPT)
        or (dataclasses.is_dataclass(default) and not isinstance(default, type))
        or hasattr(kind, "model_fields")
    ):
        return kind
    if isinstance(default, int):
        return int | float
    return next((base for base in _BUILT_IN if isinstance(default, base)), NO_TYPE)
