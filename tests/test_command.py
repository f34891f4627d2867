import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sweep.engine.command import Command, pinned
from sweep.paths import checkout


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch):
    """The command of a program that was started as `main` with these words."""

    def typed(*words: str, module: str | None = None) -> Command:
        monkeypatch.setattr(sys, "argv", list(words))
        spec = None if module is None else type("Spec", (), {"name": module})
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
        return Command.this()

    return typed


def test_a_script_is_run_by_python_and_words_are_quoted(typed, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = typed("fit.py", "-m", "rate=tag(log, interval(0.1,1))", "name='a b'")
    assert command.again() == """python fit.py -m 'rate=tag(log, interval(0.1,1))' 'name='"'"'a b'"'"''"""
    assert command.again(["hydra.sweep.dir=out"]).endswith(" hydra.sweep.dir=out")
    assert command.folder == str(tmp_path)
    assert not command.is_own


def test_a_trial_is_run_alone_with_the_same_configuration(typed) -> None:
    command = typed("fit.py", "--multirun", "--config-dir", "my conf", "-cn", "fit2", "x=1,2", "hydra/sweeper=optuna")
    assert command.single(["x=1"]) == "python fit.py --config-name fit2 --config-dir 'my conf' x=1"
    assert command.trial("wide", 3, ["x=1"]) == [command.single(["x=1"])]


@pytest.mark.parametrize("module", ["package.fit", "package.fit.__main__"])
def test_a_module_is_run_as_one(typed, module: str) -> None:
    assert typed("/somewhere/package/fit.py", "-m", module=module).again() == "python -m package.fit -m"


def test_a_console_script_goes_by_its_name_if_the_path_finds_it(typed, tmp_path: Path, monkeypatch) -> None:
    script = tmp_path / "fit"
    script.touch(0o755)
    assert typed(str(script), "-m").again() == f"{script} -m"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert typed(str(script), "-m").again() == "fit -m"


def test_our_own_command_says_where_its_stores_are_unless_they_are_in_the_checkout(typed, monkeypatch) -> None:
    monkeypatch.setenv("SWEEP_ROOT", str(checkout()))
    command = typed("sweep run", "-m", "study=quickstart")
    assert command.again() == "sweep run -m study=quickstart"
    assert command.confirm("wide") == "sweep confirm wide"
    monkeypatch.setenv("SWEEP_ROOT", "/else where")
    command = typed("sweep run", "-m", "study=quickstart")
    assert command.again() == "sweep --root '/else where' run -m study=quickstart"
    assert command.confirm("wide") == "sweep --root '/else where' confirm wide"
    assert Command.known(json.loads(json.dumps(command.plain()))) == command
    assert Command.known(None) is None
    assert Command.known({"argv": ["sweep run"], "overrides": []}) is None, "as a study of an earlier state has it"
    assert command.trial("quickstart", 3, ["seed=1"]) == [
        "sweep --root '/else where' run seed=1",
        "sweep --root '/else where' export quickstart --trial 3 --name quickstart-3 && "
        "sweep --root '/else where' run +experiment=quickstart-3",
    ]


def test_a_long_command_goes_over_several_lines_which_a_shell_takes_as_one(typed) -> None:
    words = [f"some.long.key{index}=a value" for index in range(20)]
    text = typed("fit.py", *words).again()
    assert len(text.splitlines()) > 5
    assert max(map(len, text.splitlines())) < 100
    command = text.replace("python", "printf '%s\n'")
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["fit.py", *words]


def test_passwords_are_not_shown(typed) -> None:
    command = typed("fit.py", "-m", "hydra.sweeper.storage=postgresql://me:secret@host/db")
    assert "secret" not in command.again()
    assert "secret" not in str(command.plain())
    assert "secret" not in command.single(["url=http://me:secret@host"])


def config(study_name, folder, name="s"):
    hydra = {"sweeper": {"study_name": study_name}, "sweep": {"dir": folder}}
    return OmegaConf.create({"study": {"name": name}, "paths": {"root": "r"}, "hydra": hydra})


@pytest.mark.parametrize(
    ("composed", "expected"),
    [
        (config("s", "out"), []),
        (config(None, "out"), ["hydra.sweeper.study_name=wide"]),
        (config("${study.name}", "${paths.root}/${study.name}"), []),
        (config("${study.name}", "${paths.root}/${study.name}", "${now:%Y}"), ["study.name=wide"]),
    ],
)
def test_a_name_or_folder_of_a_time_is_pinned(composed, expected) -> None:
    assert pinned(composed, "wide") == expected


def test_a_folder_of_a_time_is_pinned_as_it_was(monkeypatch) -> None:
    OmegaConf.register_new_resolver("now", lambda form: "2026", use_cache=True, replace=True)
    composed = config(None, "multirun/${now:%Y}")
    expected = ["hydra.sweeper.study_name=wide", "hydra.sweep.dir=multirun/2026"]
    assert pinned(composed, "wide") == expected
