"""Scores, speed and tuning: everything that prints a figure."""
