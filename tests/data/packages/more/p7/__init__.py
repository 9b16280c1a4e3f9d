"""Package 7."""
