def f3():
    """Return."""
