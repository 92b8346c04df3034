"""Formatting of amounts of money and of counts."""

from __future__ import annotations

__all__ = ["counted", "usd"]


def usd(amount: float) -> str:
    """Format an amount in USD with four digits, at least two of them decimals: `$0.526`, `$1.50`.

    Amounts from 1,000 on have no decimals, and those below a cent have five.
    """
    if amount >= 1000:
        return f"${amount:,.0f}"
    if 0 < amount < 0.000005:
        return "less than $0.00001"
    if 0 < amount < 0.01:
        return f"${amount:.5f}"
    digits = f"{amount:.4g}"
    return f"${digits}" if len(digits.partition(".")[2]) > 2 else f"${amount:.2f}"


def counted(number: int, noun: str) -> str:
    """Format a count: `1 job`, `2 jobs`, `1,000 retries`."""
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
