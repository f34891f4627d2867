"""Agents, placed by whatever launcher Hydra has."""

from __future__ import annotations

import copy
import functools

from hydra._internal.callbacks import Callbacks
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import open_dict

from sweep.engine.agent import run_agent
from sweep.engine.plan import Plan


def launch(plan: Plan) -> None:
    """Runs a study's agents to their end, as Hydra jobs. Raises what an agent raised."""
    # They get a folder apart from the trials', in which no configuration is left, and none of the user's callbacks.
    config = copy.deepcopy(plan.config)
    with open_dict(config):
        config.hydra.sweep.dir = plan.folder
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=HydraContext(plan.hydra_context.config_loader, Callbacks()),
        task_function=functools.partial(run_agent, plan),
        config=config,
    )
    folder = Override._get_value_element_as_str(QuotedString(plan.folder, Quote.single))
    point = [*next(plan.space.points()), f"hydra.sweep.dir={folder}", "hydra.output_subdir=null"]
    agents = [[*point, f"hydra.sweep.subdir=agents/{index}"] for index in range(plan.settings.n_agents)]
    for job in launcher.launch(agents, initial_job_idx=0):
        _ = job.return_value
