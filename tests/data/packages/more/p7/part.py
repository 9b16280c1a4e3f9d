def f7():
    """Return."""
