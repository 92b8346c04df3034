"""Container images of projects: what goes into one, its name by its content, and how it is made."""
