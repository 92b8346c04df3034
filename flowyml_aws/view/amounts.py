"""Formatting of amounts of money and of counts."""

from __future__ import annotations

__all__ = ["counted", "usd"]


def usd(amount: float) -> str:
    """Format an amount in USD with four digits: `$0.526`; below a cent with five decimals."""
    return f"${amount:,.4g}" if amount >= 0.01 or not amount else f"${amount:.5f}"


def counted(number: int, noun: str) -> str:
    """Format a count: `1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
