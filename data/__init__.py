"""Matrices: how they are drawn, streamed without end, and frozen for evaluation."""
