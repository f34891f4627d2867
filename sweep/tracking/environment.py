"""The environment that something ran in: versions, TensorFlow's build, processors, memory. No environment variable."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import runpy
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

_SECONDS = 10.0
"""How long a program that is asked may take."""


def environment() -> dict[str, Any]:
    """The environment of this process, as JSON has it; what cannot be found out is null."""
    memory = psutil.virtual_memory().total
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": {
            "physical": psutil.cpu_count(logical=False),
            "logical": psutil.cpu_count(),
            "usable": len(os.sched_getaffinity(0)),
        },
        "memory_gib": round(memory / 2**30, 1),
        "gpus": _gpus(),
        "tensorflow_build": _tensorflow_build(),
        "packages": _packages(),
    }


def as_text(found: Mapping[str, Any]) -> str:
    """It as a JSON file that people read."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _packages() -> dict[str, str]:
    """Every installed distribution with its version; of one that is there twice, that which is imported."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        found.setdefault(str(distribution.metadata["Name"]), distribution.version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _tensorflow_build() -> dict[str, Any] | None:
    """What TensorFlow says of its build, read off its file: to import it takes seconds."""
    spec = importlib.util.find_spec("tensorflow")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "python/platform/build_info.py")
        if path.exists():
            return dict(runpy.run_path(str(path)).get("build_info", {}))
    return None


def _cpu() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _gpus() -> list[str]:
    """Name, memory and driver of every NVIDIA GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.splitlines() if answer.returncode == 0 else []
