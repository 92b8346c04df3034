"""Content of the user's code, independent of its layout, and the names that it refers to."""
