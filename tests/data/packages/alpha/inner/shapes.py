"""Shapes."""


class Circle:
    """A circle."""

    def area(self):
        return 3.14

    def _private(self):
        return None
