import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from sweep.tracking.environment import as_text, environment


def test_it_names_versions_build_and_machine() -> None:
    found = json.loads(as_text(environment()))
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["optuna"] == metadata.version("optuna")
    assert found["packages"]["tensorflow"] == metadata.version("tensorflow")
    assert "is_cuda_build" in found["tensorflow_build"]
    assert found["cores"]["usable"] == len(os.sched_getaffinity(0))
    assert found["memory_gib"] > 0.1
    assert isinstance(found["gpus"], list)


def test_it_loads_nothing_slow_and_tells_no_variable() -> None:
    program = (
        "import sys; from sweep.tracking.environment import as_text, environment\n"
        "print(as_text(environment()), sorted({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    )
    variables = {**os.environ, "A_TOKEN_OF_MINE": "hunter2"}
    output = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert output.stdout.rstrip().endswith("[]")
    assert "hunter2" not in output.stdout
    assert "A_TOKEN_OF_MINE" not in output.stdout


def test_gpus_are_what_the_driver_says(tmp_path: Path, monkeypatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB, 550.54'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert environment()["gpus"] == ["NVIDIA H100, 81559 MiB, 550.54"]
    program.write_text("#!/bin/sh\necho 'no driver'; exit 9\n")
    assert environment()["gpus"] == []
