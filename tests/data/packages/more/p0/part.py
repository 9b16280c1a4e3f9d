def f0():
    """Return."""
