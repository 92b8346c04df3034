"""Notices about the end of a run: their document, and how they are sent and recorded."""
