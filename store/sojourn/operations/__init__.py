"""The sans-IO core: pure functions that build operations, and flows that chain them."""
