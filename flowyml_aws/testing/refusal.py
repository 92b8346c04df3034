"""What the emulated services answer to a request that they refuse."""

from __future__ import annotations

from typing import Any

__all__ = ["Refusal"]


class Refusal(Exception):
    """A request that AWS would refuse (HTTP 400); the class is named as AWS's error code."""

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body, in the form of AWS's JSON protocols."""
        return {"__type": type(self).__name__, "message": str(self)}
