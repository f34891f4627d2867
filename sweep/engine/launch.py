"""Agents, placed by whatever launcher Hydra has."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from sweep.engine.agent import run_agent
from sweep.engine.plan import Plan
from sweep.engine.redact import redact
from sweep.engine.texts import change_texts


class _ReturnsNothing(Callback):
    """Takes its configuration out of what a job returns, which launchers keep in files too."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        del config, kwargs
        job_return.cfg = job_return.hydra_cfg = job_return.overrides = None


def launch(plan: Plan) -> None:
    """Runs a study's agents to their end, as Hydra jobs. Raises what an agent raised."""
    # They get a folder apart from the trials', in which no configuration is left, and none of the user's callbacks.
    config = copy.deepcopy(plan.config)
    with open_dict(config):
        config.hydra.sweep.dir = plan.folder
    callbacks = Callbacks()
    callbacks.callbacks.append(_ReturnsNothing())
    context = HydraContext(plan.hydra_context.config_loader, callbacks)
    launcher = Plugins.instance().instantiate_launcher(context, functools.partial(run_agent, plan), config)
    # What it keeps, maybe in a file, is Hydra's part: agents compose the rest anew.
    known = copy.deepcopy(config)
    change_texts(known, redact, but=("hydra",))
    sent = functools.partial(run_agent, dataclasses.replace(plan, config=known))
    launcher.setup(hydra_context=context, task_function=sent, config=known)
    folder = Override._get_value_element_as_str(QuotedString(plan.folder, Quote.single))
    point = [*next(plan.space.points()), f"hydra.sweep.dir={folder}", "hydra.output_subdir=null"]
    agents = [[*point, f"hydra.sweep.subdir=agents/{index}"] for index in range(plan.settings.n_agents)]
    for job in launcher.launch(agents, initial_job_idx=0):
        _ = job.return_value
