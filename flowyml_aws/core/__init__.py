"""Authoring and grouping: pure values and functions, no I/O."""
