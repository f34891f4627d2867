from omegaconf import OmegaConf

from sweep.engine.pruners import PRUNERS
from sweep.engine.samplers import SAMPLERS
from sweep.engine.settings import Settings
from sweep.results.study_params import study_params


def settings(**given):
    return OmegaConf.merge(OmegaConf.structured(Settings), given)


def test_how_a_study_searches_is_all_there() -> None:
    chosen = {"sampler": OmegaConf.structured(SAMPLERS["tpe"]), "pruner": OmegaConf.structured(PRUNERS["median"])}
    more = {"timeout": 60.0, "enqueue": [{"rate": 1}], "baselines": {"plain": ["a=1"], "deep": ["b=2"]}}
    space = {"rate": "interval(0,1)", "when/rate": "{'act': ['relu']}"}
    params = study_params(settings(**chosen, **more), space, ["minimize", "maximize"], 7)
    assert (params["direction"], params["seed"], params["objective"]) == ("minimize,maximize", "7", "objective")
    assert (params["sampler"], params["sampler/n_startup_trials"]) == ("TPESampler", "10")
    assert (params["pruner"], params["pruner/n_warmup_steps"]) == ("MedianPruner", "0")
    assert (params["space/rate"], params["space/when/rate"]) == ("interval(0,1)", "{'act': ['relu']}")
    assert (params["n_trials"], params["timeout"], params["patience"], params["repeat"]) == (
        "20",
        "60.0",
        "null",
        "false",
    )
    assert (params["enqueue"], params["baselines"]) == ("1", "plain, deep")


def test_what_is_not_chosen_is_none() -> None:
    params = study_params(settings(), {}, ["minimize"], 0)
    assert (params["sampler"], params["pruner"], params["baselines"]) == ("none", "none", "none")
