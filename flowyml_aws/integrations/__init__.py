"""Adapters that run pipelines of other frameworks."""
