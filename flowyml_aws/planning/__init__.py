"""What runs where: instance types, the choice among them, and the plan of a whole run."""

from __future__ import annotations
