"""Submission of a plan's jobs, and the status of a run as recorded in the store."""
