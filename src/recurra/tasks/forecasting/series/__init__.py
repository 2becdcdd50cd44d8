"""A file of numbers over time -> columns of floats on an even grid, ready to be cut into windows."""
