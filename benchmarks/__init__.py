"""Ours and the peers, measured beside each other; rows go to ``results``."""
