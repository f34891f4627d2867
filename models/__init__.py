"""Keras networks, one file each, built from plain numbers."""
