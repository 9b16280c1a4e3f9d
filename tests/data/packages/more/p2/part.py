def f2():
    """Return."""
