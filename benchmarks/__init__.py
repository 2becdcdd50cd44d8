"""Benchmarks of recurra and its peers; results are written to ``results``."""
