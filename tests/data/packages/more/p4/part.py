def f4():
    """Return."""
