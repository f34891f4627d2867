"""Which part of its machine a slot has: cores, threads, a GPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def share_out(cores: list[int], slots: int) -> list[frozenset[int]]:
    """Shares cores out among slots: each gets as many as the others, at least one, neighbours together."""
    share = max(1, len(cores) // slots)
    return [frozenset(cores[(i * share + k) % len(cores)] for k in range(share)) for i in range(slots)]


def environment(slot: int, threads: int) -> Mapping[str, str]:
    """The variables that keep a slot's process to its cores and its GPU; they must be set before it imports."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    variables = dict.fromkeys((*names, "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(threads))
    variables["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
    gpus = _gpus()
    if gpus:
        variables["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    return variables


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [str(index) for index, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
