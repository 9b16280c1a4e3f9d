"""Package 6."""
