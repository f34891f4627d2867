"""README.md's own words, followed to the letter in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
COPIED = ("conf", "data", "hydra_plugins", "models", "sweep", "tests", "pyproject.toml")
SHORT = (
    *("train.max_steps=20", "train.validate_every=10", "train.batch_size=64", "evaluation.size=500"),
    *("model.depth=1", "model.width=8", "tracking=none"),
)
FEW = ("hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "seed=1")  # a seed with which both are chosen
FILE = re.compile(r"`([\w/]+\.(?:py|yaml))`[^`]*?\n\n *```(?:python|yaml)\n(.*?)\n *```", re.DOTALL)
COMMANDS = re.compile(r"^ *```console\n(.*?)\n *```", re.DOTALL | re.MULTILINE)


@dataclass
class Section:
    """A section of the README: files to write and commands to run, in their order."""

    files: dict[str, str]
    commands: list[list[str]]


def section(heading: str) -> Section:
    text = (ROOT / "README.md").read_text().split(f"### {heading}\n")[1].split("\n### ")[0]
    files = {path: textwrap.dedent(content) + "\n" for path, content in FILE.findall(text)}
    lines = [line.strip() for block in COMMANDS.findall(text) for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    assert len(files) == len(re.findall(r"^ *```(?:python|yaml)$", text, re.MULTILINE)), "a block without its file"
    return Section(files, [shlex.split(line[2:]) for line in lines])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project."""
    folder = tmp_path / "checkout"
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def python(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=copy,  # comes before the installed project, in this process and in those that it starts
        env={**os.environ, "PYTHONPATH": str(copy), "SWEEP_ROOT": str(copy.parent / "root"), "COLUMNS": "160"},
        check=False,
        timeout=200,
    )


def follow(copy: Path, words: Section) -> None:
    """Writes the section's files and runs its commands, those that train only a little."""
    for path, content in words.files.items():
        assert not (copy / path).exists(), f"{path} is there already"
        (copy / path).write_text(content)
    for command in words.commands:
        if command[0] == "sweep":
            result = python(copy, "-m", *command, *SHORT, *(FEW if "-m" in command else ()))
        else:
            assert command[0] == "python"
            result = python(copy, *command[1:])
        assert result.returncode == 0, f"{shlex.join(command)}\n{result.stdout}{result.stderr}"


def trained(copy: Path, pattern: str) -> list[dict[str, dict[str, object]]]:
    """The configurations of the runs in folders like `pattern`, all of which left a model."""
    folders = sorted((copy.parent / "root/mlruns").glob(pattern))
    assert all((folder / "model.keras").exists() for folder in folders)
    return [yaml.safe_load((folder / ".hydra/config.yaml").read_text()) for folder in folders]


def test_add_a_network(copy: Path) -> None:
    words = section("Add a network")
    assert list(words.files) == ["models/mine.py", "conf/model/mine.yaml"]
    follow(copy, words)
    assert [run["model"]["_target_"] for run in trained(copy, "runs/*/*")] == ["models.mine.mine"]
    trials = [trial["model"]["_target_"] for trial in trained(copy, "studies/networks/trials/*")]
    assert len(trials) == 3
    assert set(trials) == {"models.dense.dense", "models.mine.mine"}


def test_add_a_data_rule(copy: Path) -> None:
    words = section("Add a data rule")
    assert list(words.files) == ["data/rules/positive.py", "conf/data/positive.yaml"]
    follow(copy, words)
    expected = {"rule": "positive", "value": 0.1}
    assert [run["data"]["determinant"] for run in trained(copy, "runs/*/*")] == [expected]
    trials = [trial["data"]["determinant"]["rule"] for trial in trained(copy, "studies/rules/trials/*")]  # type: ignore[index]
    assert len(trials) == 3
    assert set(trials) == {"above", "positive"}

    refused = python(copy, "-m", "sweep", "run", "data=positive", "data.determinant.value=-1")
    assert refused.returncode == 2
    assert "allowed is a finite number of at least 0 with rule positive" in refused.stderr
    program = (
        "import numpy, data.matrices as m; "
        "kept = m.draw(numpy.random.default_rng(0), 1000, 3, (-2, 2), m.Determinant('positive', 0.1)); "
        "print(m.det(kept).min() > 0.09)"
    )
    assert python(copy, "-c", program).stdout == "True\n"


def test_the_study_in_full_is_one_that_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep import preflight
    from sweep.cli import task

    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"A study in full.*?```yaml\n(.*?)\n```", text, re.DOTALL)
    (tmp_path / "study").mkdir()
    (tmp_path / "study/gates.yaml").write_text(block)
    monkeypatch.setenv("SWEEP_ROOT", str(tmp_path))
    preflight.check(["-m", "--config-dir", str(tmp_path), "study=gates"], task)
