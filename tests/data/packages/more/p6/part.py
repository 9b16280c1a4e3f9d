def f6():
    """Return."""
