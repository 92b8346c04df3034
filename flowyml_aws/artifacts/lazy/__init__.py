"""Handles of values, which read only what is used."""
