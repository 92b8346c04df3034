"""Services that jobs can run on: one package each, registered in `planning/services.py`."""
