"""Kubernetes quantities, parsed to integers with a unit.

Source of the format: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
`KB`, `MB`, `GB` and `TB` are accepted, as in FlowyML, and mean `k`, `M`, `G` and `T`.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from string import ascii_letters

from flowyml_aws.core.errors import InvalidQuantityError
from flowyml_aws.core.written import shortened

__all__ = ["Quantity", "cpu_millis", "exact_cpu", "exact_memory", "memory_bytes", "memory_mib"]

Quantity = str | int | float
"""A quantity as the user writes it: `"500m"`, `"2.5"`, `"16Gi"`, `8`."""

MIB = 2**20
_MAX = 10**24  # integers with thousands of digits can't be printed
_SUFFIXES: dict[str, Fraction] = {
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{s: Fraction(1000**n) for n, s in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{s: Fraction(1000**n) for n, s in enumerate(("KB", "MB", "GB", "TB"), 1)},
    **{s: Fraction(1024**n) for n, s in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
_QUANTITY = re.compile(
    r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)((?:[eE][+-]?[0-9]{1,2})?)\s*([A-Za-z]*)\s*"
)
_LEAST_MEMORY_BYTES = 4 * MIB  # no container starts with less; `memory=16` is meant as "16Gi"


def exact_cpu(quantity: Quantity) -> Fraction:
    """Return the exact number of CPU cores.

    Raises:
        InvalidQuantityError: The quantity is malformed, not above zero, or too large.
    """
    cores = _parse(quantity, "CPU", '"4", "2.5" or "500m" (cores)')
    if cores > 100_000:
        raise _invalid(quantity, "CPU", "no machine has this many cores", '"4" (cores) or "500m"')
    return cores


def exact_memory(quantity: Quantity) -> Fraction:
    """Return the exact number of bytes of memory or storage; a plain number is in bytes.

    Raises:
        InvalidQuantityError: The quantity is malformed, or below 4 MiB (a forgotten unit).
    """
    size = _parse(quantity, "memory", '"16Gi", "8192Mi" or "16G"')
    if size < _LEAST_MEMORY_BYTES:
        why = "a number without a unit is in bytes, and every job needs at least 4Mi"
        number = str(quantity).strip().rstrip(ascii_letters)
        raise _invalid(quantity, "memory", why, f'"{number}Gi" if you mean GiB')
    return size


def cpu_millis(quantity: Quantity) -> int:
    """Return thousandths of a CPU core, rounded up."""
    return math.ceil(exact_cpu(quantity) * 1000)


def memory_bytes(quantity: Quantity) -> int:
    """Return bytes, rounded up."""
    return math.ceil(exact_memory(quantity))


def memory_mib(quantity: Quantity) -> int:
    """Return MiB (2**20 bytes), rounded up."""
    return math.ceil(exact_memory(quantity) / MIB)


def _parse(quantity: Quantity, kind: str, example: str) -> Fraction:
    if isinstance(quantity, bool) or not isinstance(quantity, (str, int, float)):
        why = f"a quantity must be a string or a number, got {type(quantity).__name__}"
        raise _invalid(quantity, kind, why, example)
    if isinstance(quantity, int | float) and quantity > _MAX:
        raise _invalid(quantity, kind, f"it is larger than {_MAX:.0e}", example)
    value = _amount(str(quantity))
    if value is not None and value > _MAX:
        raise _invalid(quantity, kind, f"it is larger than {_MAX:.0e}", example)
    if value is None:
        why = "it is not a number with an optional unit (m, k, M, G, T, Ki, Mi, Gi, Ti)"
        raise _invalid(quantity, kind, why, example)
    if value <= 0:
        raise _invalid(quantity, kind, "it must be greater than zero", example)
    return value


@lru_cache(maxsize=1024)  # thousands of steps share a few spellings
def _amount(text: str) -> Fraction | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[3] not in _SUFFIXES:
        return None
    return Fraction(Decimal(match[1] + match[2])) * _SUFFIXES[match[3]]


def _invalid(quantity: object, kind: str, why: str, example: str) -> InvalidQuantityError:
    return InvalidQuantityError(
        what=f"Invalid {kind} quantity {shortened(quantity)}", why=why, fix=f"write {example}"
    )
