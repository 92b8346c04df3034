"""Code that the steps share, without a decorator."""

from __future__ import annotations


def rate(rows: list[dict[str, int]]) -> float:
    return sum(row["left"] for row in rows) / len(rows)
