"""Advice from measurements: the smallest adequate requests, and what would be cheaper."""
