"""The commands. Each is a few lines that call the rooms below; none loads TensorFlow or MLflow before it has to."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweep.paths import ROOT_VARIABLE, Paths, default_root

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig

    from sweep.results.catalogue import Entry

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
STORAGE = "sweep.storage"
"""Where a command's context has what `--storage` says."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sweep")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help=f"Where mlruns/ is. Default: {ROOT_VARIABLE}, else the checkout, else the current directory.",
)
def commands(root: Path | None) -> None:
    """Hyperparameter sweeps and experiment tracking."""
    os.environ[ROOT_VARIABLE] = str(root.absolute() if root else default_root())


@commands.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--force", is_flag=True)
def run(arguments: tuple[str, ...], force: bool) -> None:
    """Train once, or run a study with -m.

    Takes Hydra's arguments: see `sweep run --help`. With --force a study is run whose trials cannot be compared, and
    everything it writes is marked as that.
    """
    import hydra

    from sweep import preflight
    from sweep.engine.address import withhold
    from sweep.engine.errors import UserError

    trapped = preflight.check(list(arguments), task, force)
    # Hydra writes down what was typed: it is told addresses without their passwords, which the environment has by now.
    sys.argv = ["sweep run", *map(withhold, preflight.marked(list(arguments), trapped))]
    application = hydra.main(preflight.CONFIG_PATH, preflight.CONFIG_NAME, preflight.VERSION_BASE)
    try:
        application(task)()
    except SystemExit as end:  # Hydra has said what was wrong, but knows only status 1
        if isinstance(end.__context__, UserError):
            raise SystemExit(EXIT_USER_ERROR) from end
        raise


def task(config: DictConfig) -> float:
    """Hydra's task: trains once. In a study the agent tracks what it does, otherwise it is tracked here."""
    from sweep.engine.trial import Trial, current_trial, running

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _unheard():
        from sweep.train import train

    if current_trial().number is not None:
        return train(config)
    from sweep.results.expectation import Heard, as_expected
    from sweep.tracking.run_model import RunModel
    from sweep.tracking.runs import single_run
    from sweep.tracking.source import source_of

    model, source = RunModel(config), source_of(task)
    with single_run(config, source) as tracked, running(Trial(send=(heard := Heard(model.listen(tracked.send))))):
        tracked.value = train(config)
    if math.isfinite(tracked.value):
        click.echo(f"{config.objective.metric} = {tracked.value:.6f}, the objective, at its best validation")
        model.log()
    else:
        click.echo("The training diverged: its loss is not finite. Try a smaller optimizer.learning_rate.", err=True)
    if config.expects is not None:
        commit = source.state if source else None
        click.echo(as_expected(config, tracked.value, heard.facts.get("evaluation_digest"), commit))
    return tracked.value


@contextmanager
def _unheard() -> Iterator[None]:
    """Drops what is written to standard error: TensorFlow greets there, whatever its log level, when it is loaded."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _use_storage(context: click.Context, _parameter: click.Parameter, url: str | None) -> None:
    context.meta[STORAGE] = url


_storage_option = click.option(
    "--storage",
    metavar="URL",
    expose_value=False,
    callback=_use_storage,
    help="Look in this database alone. Default: the studies with a folder here, and those in SWEEP_STORAGE.",
)


@commands.command()
@click.argument("study", required=False)
@_storage_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(study: str | None, as_json: bool) -> None:
    """What runs, what is done, what is best: of STUDY, or of all studies in short."""
    from rich.console import Console

    from sweep.results import progress
    from sweep.results.front import front_table
    from sweep.results.snapshot import snapshot
    from sweep.results.sync import overdue

    snapshots = [snapshot(each) for each in ([_study(study)] if study else _studies())]
    waiting = overdue(_entry(study)) if study else 0
    if as_json:
        listed = [{**seen.to_json(), **({"waiting": waiting} if study else {})} for seen in snapshots]
        click.echo(json.dumps(listed[0] if study else listed, indent=2))
    elif study:
        Console().print(progress.render(snapshots[0]))
        if snapshots[0].front:
            Console().print(front_table(_study(study)))
        if waiting:
            click.echo(
                f"{waiting:,} events wait for MLflow; if nobody runs the study, `sweep sync {study}` writes them."
            )
    else:
        Console().print(progress.overview(snapshots))


@commands.command()
@click.argument("study")
@_storage_option
def stop(study: str) -> None:
    """Let the running trials of STUDY end, and start no further one. The same command resumes it."""
    from sweep.engine.errors import UserError
    from sweep.engine.supervisor import STOP
    from sweep.engine.works import SIBLINGS

    _study(study).set_user_attr(STOP, True)
    for kind in SIBLINGS:  # such as its baselines, which come first, if it has any
        with suppress(UserError):
            _study(f"{study}.{kind}").set_user_attr(STOP, True)
    click.echo(f"Study {study} stops after its running trials; the command that started it resumes it.")


@commands.command()
@click.argument("study")
@_storage_option
@click.option("--rank", type=click.IntRange(min=1), default=1, show_default=True, help="1 is the best.")
@click.option("--trial", type=click.IntRange(min=0), help="Number of a trial, instead of a rank.")
@click.option("--metric", help="Rank by this metric instead of the objective, as in val/rmse.")
@click.option("--pareto", is_flag=True, help="Every trial of the Pareto front, as NAME-front-1, NAME-front-2, ...")
@click.option("--name", help="Name of the experiment. Default: the study's.")
@click.option("--register", is_flag=True, help="Register the trial's model in MLflow, too, as `candidate`.")
@click.option("--register-as", metavar="NAME", help="Name of the registered model. Default: the study's.")
def export(
    study: str,
    rank: int,
    trial: int | None,
    metric: str | None,
    pareto: bool,
    name: str | None,
    register: bool,
    register_as: str | None,
) -> None:
    """Write a trial's configuration to conf/experiment/NAME.yaml, for `sweep run +experiment=NAME`."""
    from sweep.engine.errors import UserError
    from sweep.results import export as exports
    from sweep.results import register as registers

    register = register or register_as is not None
    if pareto and (rank, trial, metric, register) != (1, None, None, False):
        allowed = "--pareto, or --rank, --trial, --metric and --register"
        raise UserError("--pareto", "what is about one trial beside it", allowed)
    entry = _entry(study)
    loaded = entry.load()
    if pareto:
        click.echo(exports.describe(*exports.export_front(loaded, name=name)))
        return
    chosen = exports.choose(loaded, rank, trial, metric)
    if register:
        registers.check_model(loaded, chosen)
    click.echo(exports.describe(exports.export(loaded, rank=rank, trial=trial, metric=metric, name=name)))
    if register:
        version = registers.register_trial(loaded, chosen, entry.folder, register_as)
        click.echo(registers.describe(version, loaded, chosen))


@commands.command()
@click.argument("study")
@_storage_option
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The report's folder. Default: report/ in the study's, or report-STUDY here if it has none on this machine.",
)
def report(study: str, output: Path | None) -> None:
    """Make the report of STUDY: what is best, what matters, and how sure that is; tables, HTML and PNG.

    It is attached to the study's run in MLflow, too. A study may run, or have ended in any way.
    """
    from sweep.engine.errors import UserError
    from sweep.results.attach import attach
    from sweep.results.report.build import make_report

    entry = _entry(study)
    loaded = entry.load()
    here = entry.folder / "report" if entry.folder else Path.cwd() / f"report-{study}"
    made = make_report(loaded, (output or here).absolute())
    click.echo(f"{made.page}\n{len(made.figures)} figures and {len(made.tables)} tables are beside it.")
    try:
        if attach(loaded, made.files()):
            click.echo(f"It is on the study's page in MLflow: sweep ui {study}")
    except UserError as error:
        click.echo(f"It is not on the study's page in MLflow. {error}", err=True)


_overrides_argument = click.argument("overrides", nargs=-1)
"""Hydra's own keys of the sweeper and the launcher: how a study runs, not what it is."""


@commands.command()
@click.argument("study")
@_overrides_argument
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Configurations of the study.")
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True, help="Trainings of each.")
@_storage_option
def confirm(study: str, overrides: tuple[str, ...], top: int, seeds: int) -> None:
    """Train the best of STUDY and its baselines again, on new seeds and the test set: is there a champion?

    OVERRIDES, such as hydra.sweeper.n_jobs=1, say how they run. The same command goes on with what is left.
    """
    from sweep.recompose import recomposed
    from sweep.results import confirm as confirms

    with recomposed(_paths(), _entry(study), task, overrides) as again:
        interrupted = confirms.confirm(again, top, seeds, click.echo)
    if interrupted:
        sys.exit(EXIT_INTERRUPTED)


@commands.command()
@click.argument("study")
@_overrides_argument
@click.option("--from", "origin", required=True, metavar="EXPERIMENT", help="An experiment, or a baseline of STUDY.")
@click.option("--seeds", type=click.IntRange(min=2), default=3, show_default=True, help="Trainings of each step.")
@click.option("--steps", type=click.IntRange(min=1), help="Steps before the rest is made in one. Default: no limit.")
@_storage_option
def ablate(study: str, overrides: tuple[str, ...], origin: str, seeds: int, steps: int | None) -> None:
    """From EXPERIMENT to the best of STUDY, one change at a time: which change buys how much?

    OVERRIDES, such as hydra.sweeper.n_jobs=1, say how they run. The same command goes on with what is left.
    """
    from sweep.preflight import TOGETHER, check_comparable, check_values
    from sweep.recompose import recomposed
    from sweep.results import ablate as ablates

    with recomposed(_paths(), _entry(study), task, overrides) as again:
        interrupted = ablates.ablate(again, origin, seeds, steps, TOGETHER, check_values, check_comparable, click.echo)
    if interrupted:
        sys.exit(EXIT_INTERRUPTED)


@commands.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_storage_option
def delete(study: str, yes: bool) -> None:
    """Delete STUDY for good: its trials, baselines, MLflow runs, models, folders and exported configuration.

    What was registered of its models stays in MLflow.
    """
    from sweep.results import delete as deletes

    found = deletes.look(_entry(study))
    click.echo(f"To be deleted for good:\n{found.describe()}")
    if yes or click.confirm("Delete it?"):
        click.echo("\n".join([*deletes.delete(found), f"Study {study} is deleted."]))
    else:
        click.echo("Nothing was deleted.")


@commands.command()
@click.argument("study", required=False)
@_storage_option
def sync(study: str | None) -> None:
    """Write what waits for MLflow since its server was away or a process was killed: of STUDY, or of all that is here.

    STUDY may be a folder: of another application's study, or of a run.
    """
    from sweep.results import sync as syncs

    logging.getLogger("sweep").setLevel(logging.ERROR)  # what there is to say is in the lines
    for line in syncs.sync(_paths(), study, _asked()):
        click.echo(line)


@commands.command()
@click.argument("study", required=False)
@_storage_option
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 5000; with --optuna 8080.")
@click.option("--optuna", is_flag=True, help="optuna-dashboard instead of MLflow (the extra dashboard).")
def ui(study: str | None, port: int | None, optuna: bool) -> None:
    """Open this project's runs in the MLflow UI, at STUDY or the newest one. This machine only; Ctrl-C ends it."""
    if optuna:
        from sweep.results import dashboard

        dashboard.serve(_entry(study) if study else _newest(), port or 8080, click.echo)
        return
    from sweep.results.pages import page_of, page_to_show
    from sweep.tracking.server import serve

    where = page_of(_study(study)) if study else page_to_show(_studies(), _paths())
    sys.exit(serve(_paths(), where.uri, port or 5000, where.anchor, click.echo))


def _paths() -> Paths:
    return Paths(default_root())


def _entry(name: str) -> Entry:
    """Where the study of this name is, or a UserError that lists what there is."""
    from sweep.results.catalogue import find

    return find(_paths(), name, _asked())


def _study(name: str) -> optuna.Study:
    """The study of this name, or a UserError."""
    return _entry(name).load()


def _studies() -> list[optuna.Study]:
    """All studies that have begun, oldest first; of one that cannot be read it is said why."""
    from sweep.results.catalogue import entries

    url, found = _asked(), []
    with nullcontext() if url else _left_out():
        for entry in entries(_paths(), url):
            with _left_out():
                found.append(entry.load())
    return found


def _newest() -> Entry:
    """The newest study that has begun, or a UserError."""
    from sweep.engine.errors import UserError
    from sweep.results.catalogue import entries

    for entry in reversed(list(entries(_paths(), _asked()))):
        with suppress(UserError):
            entry.load()
            return entry
    raise UserError("STUDY", f"none in {_paths().mlruns}", "a study: `sweep run -m study=quickstart` makes one")


@contextmanager
def _left_out() -> Iterator[None]:
    """Says what the user did wrong, and goes on."""
    from sweep.engine.errors import UserError

    try:
        yield
    except UserError as error:
        click.echo(f"Left out: {error}", err=True)


def _asked() -> str | None:
    """What `--storage` says."""
    url: str | None = click.get_current_context().meta.get(STORAGE)
    return url


def main() -> Any:
    """The console script: what the user did wrong is one message and status 2, Ctrl-C is status 130."""
    from hydra.errors import CompactHydraException

    from sweep.engine.errors import UserError
    from sweep.engine.outputs import redacted_outputs

    with redacted_outputs(streams=True):
        try:
            return commands(standalone_mode=False, prog_name="sweep")
        except click.ClickException as error:
            error.show()
            sys.exit(EXIT_USER_ERROR)
        except CompactHydraException as error:  # such as a full disk
            click.echo(f"Error: {error}", err=True)
            sys.exit(EXIT_USER_ERROR if isinstance(error, UserError) else 1)
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Exception:  # a mistake of ours, whose traceback is wanted, but not with a password in it
            traceback.print_exc()
            sys.exit(1)
