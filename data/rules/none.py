"""Keeps every matrix that has an inverse."""

from data.rules import Rule

RULE = Rule()
"""Takes any number as its value, and does nothing with it."""
