"""Matrices: how they are drawn, streamed without end or kept in a pool, and frozen for evaluation."""
