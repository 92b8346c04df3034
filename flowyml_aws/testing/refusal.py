"""Error responses of the emulated services."""

from __future__ import annotations

from typing import Any

__all__ = ["Refusal"]


class Refusal(Exception):
    """A request that AWS would reject (HTTP 400). A subclass is named after AWS's error code."""

    @property
    def body(self) -> dict[str, Any]:
        """Body of the response, in the format of AWS's JSON protocols."""
        return {"__type": type(self).__name__, "message": str(self)}
