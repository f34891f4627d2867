"""MLflow's model registry: versions of named models, which stay when their study is deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.engine.errors import UserError
from sweep.tracking.default_store import default_store
from sweep.tracking.logged_models import versions_of
from sweep.tracking.store import answering, client

CANDIDATE = "candidate"
"""The alias of what `sweep export --register` registers."""

CHAMPION = "champion"
"""The alias that only a confirmed winner gets, from `sweep confirm`."""

_ILLEGAL = re.compile(r"[/:@%]")
"""What MLflow refuses in the name of a registered model, or would not find again in `models:/NAME@ALIAS`."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: the registered model's name.
        number: the version's number.
        alias: what it was given.
        new: whether it was made now, and not by an earlier call.
    """

    name: str
    number: str
    alias: str
    new: bool

    @property
    def uri(self) -> str:
        """The address by which MLflow finds it, whichever version has the alias then."""
        return f"models:/{self.name}@{self.alias}"


def legal_name(study: str) -> str:
    """A study's name as that of a registered model."""
    return _ILLEGAL.sub("-", study)


def register(
    uri: str, model_id: str, name: str, alias: str, tags: Mapping[str, str] | None = None, description: str = ""
) -> Version:
    """Registers a logged model under a name, and gives its version an alias, which leaves any other version.

    A model that is registered under this name already gets no second version.

    Args:
        uri: MLflow's tracking URI.
        model_id: MLflow's id of the logged model.
        name: of the registered model, which is made if there is none.
        alias: `CANDIDATE`, or from `sweep confirm` alone `CHAMPION`.
        tags: of the version.
        description: of the version.

    Raises:
        UserError: if the name is not legal, or the store does not answer.
    """
    if not name.strip() or name.strip(".") == "" or _ILLEGAL.search(name):
        raise UserError("--register-as", repr(name), "a name without any of /:@%")
    # On a database, MLflow looks for the model in its default store and nowhere else.
    with answering(uri, "an MLflow store that answers and has a model registry"), default_store(uri):
        return _register(uri, model_id, name, alias, dict(tags or {}), description)


def take_back(uri: str, name: str, alias: str) -> str | None:
    """Takes an alias from the version of a registered model that has it; returns that version's number, if one had.

    Args:
        uri: MLflow's tracking URI.
        name: of the registered model; there need be none.
        alias: which is taken.

    Raises:
        UserError: if the store does not answer.
    """
    with answering(uri, "an MLflow store that answers and has a model registry"):
        return _take_back(uri, name, alias)


def _take_back(uri: str, name: str, alias: str) -> str | None:
    api = client(uri)
    number = None
    for model in api.search_registered_models(filter_string=f"name = '{name}'"):
        number = model.aliases.get(alias)
        if number is not None:
            api.delete_registered_model_alias(name, alias)
    return None if number is None else str(number)


def _register(uri: str, model_id: str, name: str, alias: str, tags: dict[str, str], description: str) -> Version:
    from mlflow.exceptions import MlflowException

    api = client(uri)
    known = [version for version in versions_of(api, model_id) if version.name == name]
    if known:
        number = str(max(int(version.version) for version in known))
        for key, value in tags.items():
            api.set_model_version_tag(name, number, key, value)
        if description:
            api.update_model_version(name, number, description)
    else:
        try:
            api.create_registered_model(name)
        except MlflowException:  # there is one, as a rule: if not, the next call says what is wrong
            api.get_registered_model(name)
        source = f"models:/{model_id}"
        run_id = api.get_logged_model(model_id).source_run_id
        made = api.create_model_version(name, source, run_id, tags, description=description, model_id=model_id)
        number = str(made.version)
    api.set_registered_model_alias(name, alias, number)
    return Version(name, number, alias, not known)
