"""Forecasting: a series of numbers to a network that says what comes."""
