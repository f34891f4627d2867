"""The design's rooms: who may import whom, and who may never load what is slow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LOGS_MODELS = "sweep.tracking.log_model"
"""The process that logs models, the only module that needs both MLflow and Keras."""

TENSORFLOW_ROOMS = (
    *("sweep.train.", "sweep.callbacks.", "sweep.training.", "data.stream.", "data.pool.", "models."),
    f"{LOGS_MODELS}.",
)
"""Only here may TensorFlow or Keras be imported."""

SLOW = {"tensorflow", "keras", "mlflow"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("conf", "data", "hydra_plugins", "models", "sweep"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = dict(modules())


def offenders(inside: str, *forbidden: str) -> list[str]:
    """Imports of `forbidden` packages in modules whose name begins with `inside`."""
    return [
        f"{name} imports {imported}"
        for name, path in MODULES.items()
        if f"{name}.".startswith(inside)
        for imported in sorted(imports(path))
        if any(f"{imported}.".startswith(f"{package}.") for package in forbidden)
    ]


def test_the_rules_see_what_they_forbid() -> None:
    assert offenders("sweep.train.", "data", "models")
    assert offenders("sweep.tracking.", "mlflow")
    assert len(MODULES) > 30


@pytest.mark.parametrize(
    ("inside", "forbidden"),
    [
        ("data.", ("models", "sweep", "conf", "optuna", "mlflow", "hydra", "keras")),
        ("models.", ("data", "sweep", "conf", "optuna", "mlflow", "hydra")),
        ("conf.", ("sweep", "tensorflow", "keras", "mlflow", "optuna")),
        ("sweep.engine.", ("data", "models", "conf", "tensorflow", "keras", "mlflow", "sweep.train", "sweep.cli")),
        ("sweep.tracking.", ("data", "models", "conf", "sweep.results", "sweep.train", "sweep.cli", "optuna")),
        ("sweep.results.", ("data", "models", "conf", "tensorflow", "keras", "mlflow", "sweep.train", "sweep.cli")),
        ("sweep.metrics.", ("data", "models", "conf", "sweep", "hydra", "optuna")),
        ("sweep.engine.trial.", ("sweep", "optuna", "hydra", "numpy")),
        ("sweep.engine.space.", ("sweep.tracking", "sweep.results", "sweep.engine.study", "sweep.engine.agent")),
        ("sweep.engine.study.", ("sweep.tracking", "sweep.results", "sweep.engine.agent", "sweep.engine.process")),
        ("sweep.engine.process.", ("sweep.tracking", "sweep.results", "sweep.engine.study", "optuna")),
        ("sweep.engine.agent.", ("sweep.results", "sweep.engine.sweeper")),
    ],
)
def test_no_arrow_goes_up(inside: str, forbidden: tuple[str, ...]) -> None:
    assert offenders(inside, *forbidden) == []


def test_only_training_knows_data_and_models() -> None:
    allowed = {"sweep.train", "sweep.callbacks"}
    knowing = {name for name, path in MODULES.items() for i in imports(path) if i.split(".")[0] in ("data", "models")}
    elsewhere = {name for name in knowing if name.startswith("sweep") and not name.startswith("sweep.training.")}
    assert elsewhere <= allowed


def test_only_tracking_imports_mlflow_and_only_training_tensorflow() -> None:
    for name, path in MODULES.items():
        packages = {imported.split(".")[0] for imported in imports(path)}
        assert "mlflow" not in packages or name.startswith("sweep.tracking"), name
        assert not packages & {"tensorflow", "keras"} or f"{name}.".startswith(TENSORFLOW_ROOMS), name


def test_what_needs_keras_and_mlflow_is_a_process_or_called_where_both_are_loaded() -> None:
    calling = {name for name, path in MODULES.items() if any(i.startswith(LOGS_MODELS) for i in imports(path))}
    assert calling == {"sweep.tracking.run_model"}


@pytest.mark.parametrize(
    "program",
    [
        "import sweep, sweep.cli, sweep.preflight, conf.schema",
        "import data.matrices, data.evaluation, data.targets, data.rules",
        "import sweep.training.checkpoint, sweep.training.refine",
        "import sweep.engine.sweeper, sweep.engine.agent, sweep.engine.process, sweep.tracking, sweep.tracking.store",
        "import sweep.results.leaderboard, sweep.results.progress, sweep.results.export, sweep.results.summary",
        "import hydra_plugins.sweep_optuna.sweeper",
        "import sweep.results.importance, sweep.results.report.build, sweep.results.attach, sweep.tracking.files",
        "import sweep.recompose, sweep.results.confirm, sweep.results.ablate",
        "import sweep.results.catalogue, sweep.results.delete, sweep.tracking.forget",
        "import sweep.results.models, sweep.results.register, sweep.tracking.log_model, sweep.tracking.run_model",
    ],
)
def test_what_should_answer_at_once_loads_nothing_slow(program: str) -> None:
    check = f"{program}\nimport sys\nprint(sorted({SLOW} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd="/")
    assert output.stdout.strip() == "[]"


def test_the_door_does_not_load_optuna() -> None:
    check = "import sys, hydra_plugins.sweep_optuna.sweeper; print('optuna' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"
