"""Environment variables by which the emulator describes this machine to its jobs."""

from __future__ import annotations

__all__ = ["NODE_ADDRESS_VARIABLE", "NOT_EMULATED", "SHARED_MEMORY_VARIABLE"]

NODE_ADDRESS_VARIABLE = "FLOWYML_NODE_ADDRESS"
"""Variable with the address of a node of a job: all nodes share the network of this machine."""
NOT_EMULATED = "FLOWYML_NOT_EMULATED_"
"""Prefix of the variables that name what this machine can't imitate, with the reason."""
SHARED_MEMORY_VARIABLE = "FLOWYML_SHARED_MEMORY"
"""Variable with the folder that replaces `/dev/shm`, for jobs that are processes."""
