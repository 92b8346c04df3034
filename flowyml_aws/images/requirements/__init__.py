"""Requirements of an image: the packages that a project declares, in pip's syntax."""
