"""Nodes of a job: several machines that run a step at once, and how they work together."""
