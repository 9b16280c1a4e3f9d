"""Package 8."""
