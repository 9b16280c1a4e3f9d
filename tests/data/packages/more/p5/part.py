def f5():
    """Return."""
