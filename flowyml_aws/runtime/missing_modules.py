"""Advice for modules that a job does not find."""

from __future__ import annotations

__all__ = ["module_advice"]


def module_advice(error: BaseException) -> str:
    """Return how to provide the module that an import has not found; empty for other errors."""
    if not isinstance(error, ImportError):
        return ""
    return (
        f"install {error.name or 'what is missing'} in the image or with the setting "
        "`requirements` (for jobs on this machine: in their environment), or add it to the code "
        "with the setting `include`"
    )
