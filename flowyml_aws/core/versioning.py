"""placeholder until written"""

from __future__ import annotations


class VersionedPipeline: ...
