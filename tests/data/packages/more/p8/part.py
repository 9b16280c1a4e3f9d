def f8():
    """Return."""
