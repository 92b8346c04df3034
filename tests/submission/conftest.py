from __future__ import annotations

from tests.support.stores import bucket, moto_url, s3, store

__all__ = ["bucket", "moto_url", "s3", "store"]
