"""What the documentation site needs beyond its generator: pages made from the code, drawings, and stricter checks."""
