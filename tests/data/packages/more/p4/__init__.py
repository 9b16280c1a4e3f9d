"""Package 4."""
