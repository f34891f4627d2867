"""Which matrices are kept, by their determinant: one rule a file, under the name that selects it.

A rule is a module that says `RULE = ...`, an instance of a class that extends `Rule`. A file in this folder is selected
by its name (`determinant.rule=above`), a module elsewhere by its dotted path (`determinant.rule=my_package.my_rule`).
The command line checks configurations with rules, so they import nothing but NumPy.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any


class Rule:
    """Keeps every matrix as it was drawn. A rule overrides what it does otherwise.

    Determinants come in NumPy or in TensorFlow, in float32 or float64, and the results are of the same kind: write
    what both understand (`abs`, comparisons, arithmetic, `&` and `|`). Whatever a rule says, a determinant that is
    zero, subnormal or not finite is never kept (`data.matrices.Determinant.keeps`): there is no inverse to learn.

    Attributes:
        allowed: which values `accepts` takes, in words, for the error that refuses others.
    """

    allowed: str = "a finite number"

    def accepts(self, value: float) -> bool:
        """Whether the rule works with this value of `determinant.value`."""
        return abs(value) < float("inf")

    def keeps(self, determinants: Any, value: float, size: int, entry_range: Sequence[float]) -> Any:
        """Which of the `size`×`size` matrices with entries drawn from `entry_range` are kept.

        Args:
            determinants: those of the matrices as drawn, `[count]`.
            value: `determinant.value`.
            size: n.
            entry_range: (low, high).

        Returns:
            Booleans `[count]`.
        """
        del value, size, entry_range
        return abs(determinants) >= 0

    def row_factor(self, determinants: Any, value: float) -> Any | None:
        """What row 0 of each kept matrix is multiplied by.

        Args:
            determinants: those of the matrices as drawn, float64 `[count]`, none of them zero.
            value: `determinant.value`.

        Returns:
            Factors `[count]`; None, whatever the determinants, from a rule that leaves matrices as they were drawn.
        """
        del determinants, value
        return None


def names() -> list[str]:
    """The rules of this folder, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def named(name: str) -> Rule:
    """The rule of a file in this folder, or of a module elsewhere.

    Raises:
        ValueError: if there is no such module, or if it has no `RULE`.
    """
    rule = None
    if name in names():
        rule = _rule(f"{__name__}.{name}")
    elif "." in name and all(part.isidentifier() for part in name.split(".")):
        rule = _rule(name)
    if rule is None:
        raise ValueError(
            f"determinant.rule: got {name!r}, allowed is one of {', '.join(names())}, "
            "or the dotted path of a module that has one"
        )
    return rule


def _rule(path: str) -> Rule | None:
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        # What a module that is there fails to import is its author's to read, not a wrong name.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        return None
    rule = getattr(module, "RULE", None)
    return rule if isinstance(rule, Rule) else None
