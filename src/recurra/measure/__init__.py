"""How good a model is, beside a baseline, and why: pure functions over arrays and strings."""
