"""Package 5."""
