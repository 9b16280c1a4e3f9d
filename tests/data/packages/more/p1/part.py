def f1():
    """Return."""
