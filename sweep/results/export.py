"""A trial's configuration as an ordinary Hydra experiment file, which a user reads, changes and runs."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
import yaml
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial

from sweep.engine.errors import UserError
from sweep.engine.identity import check_name
from sweep.engine.literals import text_of
from sweep.engine.redact import HIDDEN
from sweep.engine.study import REPEAT_OF
from sweep.paths import checkout
from sweep.results import origin
from sweep.results.expectation import expectation
from sweep.results.exported import EXPECTS, NOT_CHOSEN, exported_values
from sweep.results.front import front, objective_names
from sweep.results.leaderboard import ranked


def export(
    study: optuna.Study,
    destination: Path | None = None,
    rank: int = 1,
    trial: int | None = None,
    metric: str | None = None,
    name: str | None = None,
) -> Path:
    """Writes a trial's configuration to `experiment/NAME.yaml`, and returns the path.

    Args:
        study: the study.
        destination: the configuration directory to write to; None is `conf/` of the checkout, or the current directory
            if the package is installed without one.
        rank: which trial: 1 is the best; with several objectives, the first of the Pareto front.
        trial: number of a trial, instead of its rank.
        metric: rank by this metric instead of the objective.
        name: name of the experiment; the study's unless given.

    Raises:
        UserError: if there is no such trial, its output is gone, the name cannot be a file's, or a file of this name
            was not exported from this study.
    """
    path = _path(study, destination, study.study_name if name is None else name)
    _write(study, {path: choose(study, rank, trial, metric)})
    return path


def export_front(study: optuna.Study, destination: Path | None = None, name: str | None = None) -> list[Path]:
    """Writes the configuration of every trial of the Pareto front to `experiment/NAME-front-N.yaml`; returns the paths.

    N counts from 1, the trial with the best first objective. Files that this study wrote when its front was longer are
    removed.

    Args:
        study: the study.
        destination: as in `export`.
        name: what the names begin with; the study's name unless given.

    Raises:
        UserError: as `export` does; then nothing was written.
    """
    name = study.study_name if name is None else name
    best = front(study)
    if not best:
        raise UserError("--pareto", "a study without a front", "a study with a complete trial that is feasible")
    paths = [_path(study, destination, f"{name}-front-{rank}") for rank in range(1, len(best) + 1)]
    _write(study, dict(zip(paths, best, strict=True)))
    for path in set(paths[0].parent.glob(f"{name}-front-*.yaml")) - set(paths):
        if path.stem.removeprefix(f"{name}-front-").isdigit() and study_of(path) == study.study_name:
            path.unlink()
    return paths


def renew(
    study: optuna.Study, trials: Container[int], destination: Path | None = None, name: str | None = None
) -> Path | None:
    """Writes an exported file anew if there is one, and it is of one of these trials; returns the path if so.

    So it has what was found out of the trial since.

    Args:
        study: the study.
        trials: numbers of trials.
        destination: as in `export`.
        name: as in `export`.

    Raises:
        UserError: if the trial's output is gone.
    """
    path = (destination or default_destination()).absolute() / "experiment" / f"{name or study.study_name}.yaml"
    if not path.exists() or study_of(path) != study.study_name:
        return None
    found = re.search(r"^# Trial: (\d+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None or int(found[1]) not in trials:
        return None
    _write(study, {path: choose(study, trial=int(found[1]))})
    return path


def command(path: Path) -> str:
    """The command that trains an exported configuration."""
    word = f"+experiment={text_of(path.stem)}"
    # What Hydra would read as another value is in single quotes: the shell's are double, and there is nothing inside.
    return " ".join(["sweep", "run", *_where(path), f'"{word}"' if "'" in word else word])


def describe(*paths: Path) -> str:
    """What to tell the user about exported files."""
    near = [os.path.relpath(path) for path in paths]
    shown = [str(path) if relative.startswith("..") else relative for path, relative in zip(paths, near, strict=True)]
    return "\n".join([*shown, f"Train {'it' if len(paths) == 1 else 'the first'} again: {command(paths[0])}"])


def default_destination() -> Path:
    """The configuration directory that files are exported to unless another is named."""
    root = checkout()
    return root / "conf" if root else Path.cwd()


def _where(path: Path) -> list[str]:
    """The option that lets Hydra find a file outside the package's own configuration."""
    root = checkout()
    folder = path.parents[1]
    if root and folder == root / "conf":
        return []
    return ["--config-dir", "." if folder == Path.cwd() else shlex.quote(str(folder))]


def _path(study: optuna.Study, destination: Path | None, name: str) -> Path:
    """The file of an experiment that this study may write."""
    check_name("--name", name)
    path = (destination or default_destination()).absolute() / "experiment" / f"{name}.yaml"
    if path.exists() and study_of(path) != study.study_name:
        other = study_of(path)
        received = f"{name!r}, whose file {path} " + (f"is of study {other}" if other else "no study wrote")
        raise UserError("--name", received, "the name of a new file, or of one that this study wrote")
    return path


def _write(study: optuna.Study, chosen: Mapping[Path, FrozenTrial]) -> None:
    """Writes each trial's configuration to its file: all of them, or none if one cannot be read."""
    runs = origin.run_ids(study, [trial.number for trial in chosen.values()])
    texts = {}
    for path, trial in chosen.items():
        deleted = [text for text in trial.user_attrs.get("overrides", []) if text.startswith("~")]
        run = " ".join([command(path), *map(shlex.quote, deleted)])
        texts[path] = origin.header(study, trial, runs.get(trial.number), run) + _marked(_body(study, trial))
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def choose(study: optuna.Study, rank: int = 1, trial: int | None = None, metric: str | None = None) -> FrozenTrial:
    """The trial that is exported; see `export`."""
    if trial is not None:
        trials = study.get_trials(deepcopy=False)
        if not 0 <= trial < len(trials):
            raise UserError("--trial", trial, f"a number from 0 to {len(trials) - 1}" if trials else "none: no trials")
        trial = trials[trial].user_attrs.get(REPEAT_OF, trial)  # which had its params first, and was run
        if "output_dir" not in trials[trial].user_attrs:
            raise UserError("--trial", f"{trial}, which has not begun", "a trial that has begun")
        return trials[trial]
    best = front(study) if metric is None and len(study.directions) > 1 else ranked(study, metric)
    if not 1 <= rank <= len(best):
        raise UserError("--rank", rank, f"1 to {len(best)}" if best else "none yet: no feasible trial is complete")
    return best[rank - 1]


def study_of(path: Path) -> str | None:
    """The study that an exported file names in its header; None if it names none."""
    found = re.search(r"^# Study: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else None


def _body(study: optuna.Study, trial: FrozenTrial) -> str:
    folder = Path(trial.user_attrs["output_dir"], ".hydra")
    config, hydra = _read(folder / "config.yaml", trial), _read(folder / "hydra.yaml", trial)
    choices: Mapping[str, Any] = hydra["hydra"]["runtime"]["choices"]
    appended = {text.lstrip("+").partition("=")[0] for text in trial.user_attrs.get("overrides", []) if text[0] == "+"}
    appended |= {text.lstrip("+").partition("=")[0] for text in hydra["hydra"]["overrides"]["task"] if text[0] == "+"}
    order = [*config, *choices]  # as the values below: Hydra lists its choices from the last to the first
    defaults = []
    for group, choice in sorted(choices.items(), key=lambda item: order.index(item[0])):
        if group.split("@")[0] in NOT_CHOSEN or group.startswith("hydra/"):
            continue
        defaults.append({f"/{group}" if group in appended else f"override /{group}": choice})
    values = exported_values(config)
    parts: list[dict[str, Any]] = [{"defaults": defaults}] if defaults else []
    parts += [{key: value} for key, value in values.items()]
    if EXPECTS in config:  # another application's configuration has no such key
        expects = expectation(trial, study.study_name, objective_names(study)[0], values)
        parts += [{EXPECTS: expects}] if expects else []
    return "\n".join(yaml.dump(part, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120) for part in parts)


def _marked(body: str) -> str:
    """A configuration that says so if it lacks what was secret."""
    return f"# {HIDDEN} stands for what was secret, and is to be filled in.\n\n{body}" if HIDDEN in body else body


def _read(path: Path, trial: FrozenTrial) -> dict[str, Any]:
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        return dict(content)
    except OSError as error:
        raise UserError("--trial", f"{trial.number}, whose {path} cannot be read", "a trial with its output") from error


class _Dumper(yaml.SafeDumper):
    """Short lists in a line, everything else in a block; what Hydra would read as a number is one, or in quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002
        return super().increase_indent(flow, False)

    def represent_list(self, data: Iterable[Any]) -> Any:
        flat = not any(isinstance(value, dict | list) for value in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)

    def represent_str(self, data: str) -> Any:
        try:
            float(data)
        except ValueError:
            return super().represent_str(data)
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="'")


_Dumper.add_representer(list, _Dumper.represent_list)
_Dumper.add_representer(str, _Dumper.represent_str)
