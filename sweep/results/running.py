"""Whether somebody runs a study just now."""

from __future__ import annotations

import time
from typing import Any

import optuna

from sweep.engine.lease import Watch, is_local
from sweep.engine.supervisor import SWEEPER, WATCH_SECONDS, agent_key


def runner(study: optuna.Study) -> str | None:
    """The process that runs a study, its sweeper or an agent, in words; None if there is none.

    Waits until one on another machine has had the time to beat.
    """
    watch = Watch()
    beats: dict[str, int] = {}
    while alive := [lease for lease in _leases(study) if watch.alive(lease)]:
        for lease in alive:
            if is_local(lease) or lease["beat"] != beats.setdefault(lease["token"], lease["beat"]):
                return f"process {lease['pid']} on {lease['host']}"
        time.sleep(WATCH_SECONDS)
    return None


def _leases(study: optuna.Study) -> list[dict[str, Any]]:
    """Those of the study's sweeper and agents that were not given up."""
    attributes = study.user_attrs.items()
    return [lease for key, lease in attributes if lease and (key == SWEEPER or key.startswith(agent_key("")))]
