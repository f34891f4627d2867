import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from conf.schema import Config, EvaluationConfig, Loss
from data.evaluation import evaluation_set
from sweep.engine.trial import Trial, TrialPruned, running
from sweep.metrics import NAMES, measures, zero_skill
from sweep.train import compiled_network, largest_divisor, train, training_batches, training_steps, use_threads
from sweep.training.schedule import learning_rate

CONF = Path(__file__).parent.parent / "conf"
SMALL = (
    *("evaluation.size=500", "train.batch_size=64", "train.max_steps=12", "train.validate_every=6"),
    *("model.width=8", "model.depth=1", "train.jit_compile=false"),
)
Compose = Callable[..., DictConfig]


class Events(list[tuple[str, dict[str, Any]]]):
    """What a trial sent; asks it to stop at its first report if `prune`."""

    def __init__(self, prune: bool = False) -> None:
        super().__init__()
        self.prune = prune

    def send(self, kind: str, payload: dict[str, Any]) -> bool:
        self.append((kind, payload))
        return self.prune and kind == "report"

    def facts(self) -> dict[str, Any]:
        return {name: fact for kind, payload in self if kind == "facts" for name, fact in payload.items()}

    def metrics(self) -> dict[str, float]:
        return {name: v for kind, payload in self if kind == "metrics" for name, v in payload["values"].items()}


def test_a_trial_leaves_its_model_its_pictures_its_costs_and_its_facts(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = Events()
    cfg = compose(*SMALL, "objective.metric=val/rmse")
    with running(Trial(0, events.send)):
        objective = train(cfg, tmp_path)

    frozen = evaluation_set(EvaluationConfig(size=500), "validation")
    model = keras.models.load_model(tmp_path / "model.keras")
    predictions = model.predict(frozen.inputs, verbose=0)
    assert predictions.shape == (500, 3, 3)
    assert measures(frozen.inputs, frozen.truth, predictions)["rmse"] == pytest.approx(objective, rel=1e-5)

    for name in ("scatter.png", "conditioning.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert ("artifact", {"path": str(tmp_path / name), "folder": "plots"}) in events
    reports = [payload for kind, payload in events if kind == "report"]
    assert [report["step"] for report in reports] == [6, 12]
    assert objective == min(report["value"] for report in reports)
    costs = {name.removeprefix("cost/"): v for name, v in events.metrics().items() if name.startswith("cost/")}
    assert costs["parameters"] == 10 * 8 + 9 * 9
    products = 2 * (9 * 8 + 8 * 9)
    assert products <= costs["flops_per_sample"] <= products + 60  # biases, activations, the scale
    assert 0 < costs["seconds_to_best"] <= 12 / costs["steps_per_second"] + 1e-6
    assert costs["samples_per_second"] == pytest.approx(64 * costs["steps_per_second"])
    assert costs["steps"] == 12
    assert costs["best_step"] in (6, 12)
    (best,) = [p for kind, p in events if kind == "metrics" and any(name.startswith("best/") for name in p["values"])]
    assert (best["step"], best["values"]["best/rmse"]) == (costs["best_step"], objective), "once"
    assert set(best["values"]) >= {f"best/{name}" for name in NAMES}
    assert events.facts()["evaluation_digest"] == frozen.digest

    printed = capsys.readouterr().out
    for words in ("this network", "zero skill", "best linear", "root mean squared error", "A·X̂", "161 parameters"):
        assert words in printed


def test_the_test_set_is_for_a_trial_that_is_the_last_word(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary, final = Events(), Events()
    asked: list[str] = []

    def recorded(recipe: Any, split: Any) -> Any:
        asked.append(split)
        return evaluation_set(recipe, split)

    for module in ("sweep.train", "sweep.training.last_word"):
        monkeypatch.setattr(f"{module}.evaluation_set", recorded)
    with running(Trial(0, ordinary.send)):
        objective = train(compose(*SMALL), tmp_path)
    assert set(asked) == {"validation"}
    assert not [name for kind, payload in ordinary if kind == "metrics" for name in payload["values"] if "test" in name]
    with running(Trial(0, final.send, final=True)):
        last = train(compose(*SMALL), tmp_path)
    assert asked.count("test") == 1
    assert last != objective
    logged = {name: v for kind, p in final if kind == "metrics" for name, v in p["values"].items()}
    assert logged["test/log10_rel_error"] == last
    assert logged["best/log10_rel_error"] == objective, "the validation set chooses the weights"
    frozen = evaluation_set(EvaluationConfig(size=500), "test")
    assert final.facts()["test_digest"] == frozen.digest
    assert final.facts()["test_zero_skill"] == zero_skill(frozen.inputs, frozen.truth)["log10_rel_error"]
    assert "test_best_linear" in final.facts()


def test_nothing_but_the_last_word_asks_for_the_test_set() -> None:
    root = Path(__file__).parents[1]
    files = [path for room in ("sweep", "models", "conf", "data") for path in (root / room).rglob("*.py")]
    asking = [path.name for path in files if re.search(r"""evaluation_set\([^)]*["']test["']""", path.read_text())]
    assert asking == ["last_word.py"]


def test_the_same_seed_gives_the_same_objective_bit_for_bit_in_a_warm_process(compose: Compose) -> None:
    first = train(compose(*SMALL, "seed=3"))
    other = train(compose(*SMALL, "seed=4", "model.width=16"))
    assert train(compose(*SMALL, "seed=3")) == first
    assert other != first


def test_outside_hydra_and_without_a_folder_nothing_is_written(compose: Compose, tmp_path: Path) -> None:
    assert math.isfinite(train(compose(*SMALL)))
    assert list(tmp_path.iterdir()) == []


def test_losses_can_be_objectives_in_the_units_that_are_trained_in(compose: Compose) -> None:
    for metric in ("train/loss", "val/loss"):
        events = Events()
        with running(Trial(0, events.send)):
            value = train(compose(*SMALL, f"objective.metric={metric}", "train.loss=mse", "data.target_scale=3"))
        logged = [payload["values"] for kind, payload in events if kind == "metrics" and metric in payload["values"]]
        assert [payload["value"] for kind, payload in events if kind == "report"] == [one[metric] for one in logged]
        assert value == min(one[metric] for one in logged)
        for one in logged:
            assert one["val/loss"] == pytest.approx((one["val/rmse"] / 3) ** 2, rel=1e-4)
            assert one["train/loss"] != one["val/loss"]


def test_divergence_is_nan_not_an_exception(compose: Compose, tmp_path: Path) -> None:
    events = Events()
    with running(Trial(0, events.send)):
        assert math.isnan(train(compose(*SMALL, "optimizer.learning_rate=1e38", "train.max_steps=60"), tmp_path))
    assert events.facts()["diverged_at"] <= 60
    assert list(tmp_path.iterdir()) == []


def test_pruning_leaves_the_task_with_its_measures_and_costs(compose: Compose) -> None:
    events = Events(prune=True)
    with running(Trial(0, events.send)), pytest.raises(TrialPruned):
        train(compose(*SMALL))
    assert events.metrics()["cost/steps"] == 6
    costs = {"parameters", "flops_per_sample", "steps_per_second", "samples_per_second", "best_step", "seconds_to_best"}
    expected = {f"{prefix}/{name}" for prefix in ("val", "best") for name in NAMES} | {f"cost/{name}" for name in costs}
    assert expected <= set(events.metrics())


def test_a_trial_says_what_it_is_judged_and_trained_on(compose: Compose) -> None:
    def told(*overrides: str) -> dict[str, Any]:
        events = Events()
        with running(Trial(0, events.send)):
            train(compose(*SMALL, *overrides))
        return {payload["context"]: payload for kind, payload in events if kind == "dataset"}

    frozen = evaluation_set(EvaluationConfig(size=500), "validation")
    first = told("seed=3")
    judged, trained = first["evaluation"], first["training"]
    assert judged["digest"] == frozen.digest
    assert judged["described"]["size"] == 500
    assert judged["columns"] == {"matrix": "float32 (3, 3)", "inverse": "float64 (3, 3)"}
    assert trained["name"] == "endless stream of matrices"
    assert {"num_samples": "endless", "entry_range": [-2.0, 2.0], "seed": 3}.items() <= trained["described"].items()
    assert trained["described"]["determinant_rule"] == "above 0.1"
    other = told("seed=3", "train.batch_size=32", "model.width=4")["training"]
    assert (other["digest"], other["described"]["batch_size"]) == (trained["digest"], 32)
    assert told("seed=4")["training"]["digest"] != trained["digest"]
    pool = told("seed=3", "data.num_samples=100", "data.validation_split=0.2")["training"]
    assert (pool["name"], pool["described"]["num_samples"], pool["described"]["held_out"]) == (
        "pool of matrices",
        100,
        20,
    )
    assert pool["digest"] != trained["digest"]


def test_training_learns(compose: Compose) -> None:
    """A small network soon beats the best constant, whose median relative error is 1."""
    cfg = compose(
        *SMALL,
        *("model.width=32", "optimizer.learning_rate=3e-3", "train.loss=mae", "objective.metric=val/rel_error_median"),
        *("train.batch_size=512", "train.max_steps=400", "train.validate_every=200"),
    )
    assert train(cfg) < 0.95


def shipped() -> list[list[str]]:
    """As few compositions as show every option of every group, and some values that no file has."""
    groups = ("data", "model", "optimizer", "schedule", "train", "evaluation", "objective")
    options = [[f"{group}={file.stem}" for file in sorted((CONF / group).glob("*.yaml"))] for group in groups]
    rounds = [[names[turn % len(names)] for names in options] for turn in range(max(map(len, options)))]
    size = ["data.matrix_size=4", "evaluation.matrix_size=4", "train.loss=huber"]
    return [*rounds, *([f"+experiment={name}"] for name in ("answer", "question", "question_determinant")), size]


@pytest.mark.parametrize("choices", shipped(), ids=" ".join)
def test_every_shipped_option_trains_a_few_steps(compose: Compose, choices: list[str]) -> None:
    assert math.isfinite(train(compose(*choices, *SMALL, "train.max_steps=4", "train.epochs=null")))


def test_the_seed_chooses_the_stream(compose: Compose) -> None:
    def first_matrix(seed: int) -> np.ndarray:
        settings = OmegaConf.to_object(compose(*SMALL, f"seed={seed}"))
        assert isinstance(settings, Config)
        return next(training_batches(settings).as_numpy_iterator())[0][0]

    np.testing.assert_array_equal(first_matrix(1), first_matrix(1))
    assert not np.array_equal(first_matrix(1), first_matrix(2))


def settings_of(cfg: DictConfig) -> Config:
    settings = OmegaConf.to_object(cfg)
    assert isinstance(settings, Config)
    return settings


def compiled(cfg: DictConfig) -> keras.Model:
    keras.utils.set_random_seed(0)
    return compiled_network(cfg, settings_of(cfg))


@pytest.mark.parametrize("name", sorted(file.stem for file in (CONF / "optimizer").glob("*.yaml")))
def test_every_optimizer_gets_what_its_file_says(compose: Compose, name: str) -> None:
    changes = ["optimizer.weight_decay=0.125", "optimizer.global_clipnorm=2.5", "optimizer.ema_momentum=0.75"]
    cfg = compose(f"optimizer={name}", *changes, "optimizer.use_ema=true")
    built = compiled(cfg).optimizer
    assert type(built).__name__.lower() == name
    for key, value in cfg.optimizer.items():
        if key not in ("_target_", "learning_rate"):
            assert getattr(built, key) == pytest.approx(value), key
    assert float(built.learning_rate) == pytest.approx(cfg.optimizer.learning_rate)
    plain = {**compose(f"optimizer={name}").optimizer, "use_ema": True}
    changed = {key for key, value in cfg.optimizer.items() if plain[key] != value}
    assert changed == {"weight_decay", "global_clipnorm", "ema_momentum"}


def test_clipping_bounds_a_step(compose: Compose) -> None:
    """With plain gradient descent at rate 1, the weights move by the norm of the clipped gradient."""
    moved = {}
    for clip in ("null", "0.01"):
        cfg = compose(*SMALL, "optimizer=sgd", "optimizer.learning_rate=1", f"optimizer.global_clipnorm={clip}")
        network = compiled(cfg)
        before = network.get_weights()
        matrices, targets = next(training_batches(settings_of(cfg)).as_numpy_iterator())
        network.train_on_batch(matrices, targets)
        moved[clip] = math.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(network.get_weights(), before, strict=True)))
    assert moved["0.01"] == pytest.approx(0.01, rel=1e-3)
    assert moved["null"] > 0.05


def test_every_loss_falls_and_changes_the_training_and_not_the_data(compose: Compose) -> None:
    steps = ["train.max_steps=300", "train.validate_every=30", "optimizer.learning_rate=3e-3", "train.batch_size=256"]
    objectives = set()
    first = next(training_batches(settings_of(compose(*SMALL, *steps))).as_numpy_iterator())
    for loss in Loss:
        cfg, events = compose(*SMALL, *steps, f"train.loss={loss.name}"), Events()
        with running(Trial(0, events.send)):
            objectives.add(train(cfg))
        losses = [payload["values"]["train/loss"] for _, payload in events if "train/loss" in payload.get("values", {})]
        assert losses[-1] < losses[0], loss
        batch = next(training_batches(settings_of(cfg)).as_numpy_iterator())
        for mine, theirs in zip(batch, first, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert len(objectives) == len(Loss)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "exponential"])
def test_the_schedule_reaches_the_optimizer(compose: Compose, schedule: str) -> None:
    cfg = compose(f"schedule={schedule}", "schedule.warmup=0.25", "train.max_steps=100", "optimizer.learning_rate=0.5")
    settings = settings_of(cfg)
    optimizer, curve = compiled(cfg).optimizer, learning_rate(0.5, settings.schedule, 100)
    assert not isinstance(curve, float)
    for step in (0, 10, 25, 60, 100):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(float(curve(step)))
    optimizer.iterations.assign(10)
    assert float(optimizer.learning_rate) == pytest.approx(0.5 * 10 / 25)


def test_patience_reaches_the_training(compose: Compose) -> None:
    def reports(*changes: str) -> dict[int, float]:
        events = Events()
        with running(Trial(0, events.send)):
            train(
                compose(*SMALL, "train.max_steps=60", "train.validate_every=2", "optimizer.learning_rate=1", *changes)
            )
        return {payload["step"]: payload["value"] for kind, payload in events if kind == "report"}

    patient, free = reports("train.patience=1"), reports()
    assert len(patient) < len(free) == 30
    assert patient == {step: free[step] for step in patient}


def test_xla_is_used_only_where_it_is_asked_for(compose: Compose) -> None:
    assert [compiled(compose(*SMALL, f"train.jit_compile={flag}")).jit_compile for flag in ("true", "false")] == [
        True,
        False,
    ]


def test_speed_counts_the_samples_that_there_are(compose: Compose, capsys: pytest.CaptureFixture[str]) -> None:
    """A pool of 150, a third of it held out, in batches of 64: steps of 64 and of 36 samples."""
    events, pool = Events(), ["data.num_samples=150", "data.validation_split=0.3333"]
    with running(Trial(0, events.send)):
        train(compose(*SMALL, *pool))
    speeds = [payload["values"] for _, payload in events if "steps_per_second" in payload.get("values", {})]
    assert len(speeds) == 2
    for values in speeds:
        assert values["samples_per_second"] == pytest.approx(50 * values["steps_per_second"])
    printed = re.search(r"([\d,]+) samples, ([\d,]+) steps a second", " ".join(capsys.readouterr().out.split()))
    assert printed is not None
    samples, steps = (float(number.replace(",", "")) for number in printed.groups())
    assert samples == pytest.approx(50 * steps, abs=26)


def test_mixed_precision_computes_in_bfloat16_and_keeps_the_rest(compose: Compose, tmp_path: Path) -> None:
    from sweep.engine.trial import current_trial

    cfg = compose(*SMALL, "train.precision=mixed_bfloat16", "optimizer.learning_rate=3e-3", "train.max_steps=60")
    single = compose(*SMALL, "optimizer.learning_rate=3e-3", "train.max_steps=60")
    low, high = train(cfg, tmp_path), train(single)
    assert low != high
    assert low == pytest.approx(high, abs=0.05)
    assert keras.config.dtype_policy().name == "float32", "the next trial of the process must not inherit it"
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = compiled(cfg)
    finally:
        keras.config.set_dtype_policy("float32")
    hidden = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense) and layer.name != "scaled"]
    assert {layer.compute_dtype for layer in hidden} == {"bfloat16"}
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network(np.ones((2, 3, 3), np.float32)).dtype == "float32"
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model(np.ones((2, 3, 3), np.float32)).dtype == "float32"
    assert current_trial().number is None


@pytest.mark.parametrize(
    "changes",
    [
        ("data.compression=asinh",),
        ("data.input_norm=true",),
        ("data.input_norm=true", "data.compression=asinh", "data.target_scale=0.5"),
        ("data.target=determinant", "evaluation.target=determinant", "data.input_norm=true"),
        ("data.num_samples=200", "data.validation_split=0.25"),
        ("data.matrix_size=4", "evaluation.matrix_size=4", "data.determinant.rule=relative"),
    ],
    ids=" ".join,
)
def test_whatever_is_trained_on_the_saved_model_is_judged_in_original_units(
    compose: Compose, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    cfg = compose(*SMALL, *changes, "objective.metric=val/rmse")
    objective = train(cfg, tmp_path)
    frozen = evaluation_set(settings_of(cfg).evaluation, "validation")
    predictions = keras.models.load_model(tmp_path / "model.keras").predict(frozen.inputs, verbose=0)
    assert predictions.shape == frozen.truth.shape
    assert measures(frozen.inputs, frozen.truth, predictions)["rmse"] == pytest.approx(objective, rel=1e-4)
    assert train(compose(*SMALL, "objective.metric=val/rmse")) != objective


@pytest.mark.parametrize("changes", [("data.compression=asinh",), ("data.input_norm=true",)], ids=" ".join)
def test_trained_units_are_undone_exactly(compose: Compose, changes: tuple[str, ...]) -> None:
    """A network that gave the targets themselves would be judged perfect."""
    from models.original_units import original_units

    cfg = compose(*SMALL, *changes)
    data = settings_of(cfg).data
    matrices, targets = next(training_batches(settings_of(cfg)).as_numpy_iterator())

    inputs = keras.Input((3, 3), name="matrix")
    looked_up = keras.layers.Flatten()(keras.layers.Dense(3, kernel_initializer="zeros")(inputs))
    network = keras.Model(inputs, keras.layers.Add()([looked_up, keras.ops.convert_to_tensor(targets[:1])]))
    undone = original_units(network, data.target_scale, compression=data.compression.value, input_norm=data.input_norm)
    truth = np.linalg.inv(matrices[0].astype(np.float64))
    np.testing.assert_allclose(undone(matrices[:1])[0], truth, rtol=1e-4, atol=1e-5)


def test_epochs_are_passes_over_the_part_of_the_pool_that_is_trained_on(compose: Compose) -> None:
    pool = ["data.num_samples=1000", "data.validation_split=0.33", "train.batch_size=100", "train.max_steps=null"]
    settings = settings_of(compose(*pool, "train.epochs=3"))
    assert training_steps(settings) == 3 * 7
    batches = list(training_batches(settings).as_numpy_iterator())
    assert [len(matrices) for matrices, _ in batches] == [*[100] * 6, 70] * 3


def test_the_question_prints_what_its_program_printed(compose: Compose, capsys: pytest.CaptureFixture[str]) -> None:
    events = Events()
    small = ["train.epochs=4", "train.validate_every=67", "evaluation.size=2000"]
    with running(Trial(0, events.send)):
        objective = train(compose("+experiment=question", *small))
    held_out = [
        payload["values"]["held_out/rmse"] for _, payload in events if "held_out/rmse" in payload.get("values", {})
    ]
    assert len(held_out) == 4
    assert 1000 < held_out[-1] < 2500, "no skill yet: the best constant is at about 1800"
    assert 1000 < objective < 2500
    printed = capsys.readouterr().out
    assert f"3,300 matrices: RMSE {held_out[-1]:.4g} after the last step" in " ".join(printed.split())
    outputs = {
        name: value
        for _, payload in events
        for name, value in payload.get("values", {}).items()
        if name.startswith("output/")
    }
    assert set(outputs) == {f"output/rmse_{row}_{column}" for row in range(3) for column in range(3)}
    first_column = sum(outputs[f"output/rmse_{row}_0"] ** 2 for row in range(3))
    assert first_column > 0.98 * sum(value**2 for value in outputs.values()), "all of the error is in column 0"


def test_refining_is_reported_and_chosen_only_when_asked(compose: Compose, capsys: pytest.CaptureFixture[str]) -> None:
    raw = train(compose(*SMALL))
    assert train(compose(*SMALL, "evaluation.refine=2")) == raw
    printed = capsys.readouterr().out
    assert "refined: by 2 Newton-Schulz steps" in " ".join(printed.split())
    assert "steps alone" in " ".join(printed.split())
    chosen = train(compose(*SMALL, "evaluation.refine=2", "objective.metric=val/refined_log10_rel_error"))
    assert chosen != raw


def test_validations_end_an_execution() -> None:
    assert [largest_divisor(*pair) for pair in [(200, 50), (200, 60), (6, 50), (7, 5), (1, 1)]] == [50, 50, 6, 1, 1]


def test_another_number_of_threads_than_the_process_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keras.ops.zeros(1) + 1  # TensorFlow runs now
    use_threads(None)
    with pytest.raises(RuntimeError, match=r"train\.threads: got 7, allowed is null"):
        use_threads(7)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    use_threads(7)
