"""Container images of projects: contents, names by content, and builds."""
