# mypy: ignore-errors
from __future__ import annotations

import registry

registry.CODECS.add("plugin")
