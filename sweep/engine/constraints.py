"""Constraints of a search space (`hydra.sweeper.constraints`): expressions that the params of every point fulfil.

`model.depth * model.width <= 4096`: numbers, texts, dotted names of parameters or of values of the configuration,
arithmetic, comparisons, `and`, `or`, `not`, `min`, `max`, `abs`. Nothing else is evaluated. A constraint that names a
parameter which does not exist at a point holds there.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.fields import Fields

FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
CONSTANTS = {"true": True, "false": False, "null": None}
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,  # of floats, which overflow at once where integers would grow for hours
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
ALLOWED = "a comparison of parameters and values, as in model.depth * model.width <= 4096"


@dataclass(frozen=True)
class Constraint:
    """An expression, and the values of the configuration that it names."""

    text: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, name: str, text: Any, parameters: Iterable[str], swept: Iterable[str], fields: Fields) -> Constraint:
        """Reads a constraint.

        Args:
            name: the key under which it is written.
            text: the expression.
            parameters: all keys that vary at some point.
            swept: the config groups that vary.
            fields: those of the configuration.

        Raises:
            UserError: if it is no such expression, or names what is not there.
        """
        if not isinstance(text, str):
            raise UserError(name, repr(text), ALLOWED)
        try:
            tree = _parse(text)
            names = {dotted for node in _walk(tree) if (dotted := _dotted(node)) is not None}
        except ValueError as error:
            raise UserError(name, repr(text), f"{ALLOWED} ({error})") from error
        known = set(parameters)
        values = {}
        for key in sorted(names - known - CONSTANTS.keys()):
            below = next((group for group in swept if key.startswith(f"{group.replace('/', '.')}.")), None)
            if below is not None:
                raise UserError(name, f"{key}, which changes with {below}", "parameters, and values that do not vary")
            value = fields.value(key)
            if value is None and not fields.has(key):
                raise UserError(name, f"{key!r}, which is not there", nearest(key, [*known, *fields.keys()]))
            if not (value is None or isinstance(value, bool | int | float | str)):
                raise UserError(name, f"{key}, which is {value!r}", "names of numbers, texts, booleans or null")
            values[key] = value
        return cls(text, values)

    def broken(self, params: Mapping[str, Any]) -> str | None:
        """Why these params break it, or None if they do not."""
        tree = _parse(self.text)
        known = {**CONSTANTS, **self.values, **params}
        if any((name := _dotted(node)) is not None and name not in known for node in _walk(tree)):
            return None
        try:
            return None if _value(tree, known) else self.text
        except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
            return f"{self.text} ({error})"


@functools.lru_cache(maxsize=256)
def _parse(text: str) -> ast.expr:
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        for _ in _walk(tree):
            pass
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    negated = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
    if not (negated or isinstance(tree, ast.Compare | ast.BoolOp)):
        raise ValueError("nothing is compared")
    return tree


def _walk(node: ast.expr) -> Iterable[ast.expr]:
    """The expression and all inside of it. Raises ValueError for anything that is not allowed."""
    yield node
    inside: list[ast.expr] = []
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            pass
        case ast.Name() | ast.Attribute() if _dotted(node):
            pass
        case ast.BoolOp(values=values):
            inside = values
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            inside = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            inside = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
            inside = [left, *others]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            inside = args
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed")
    for one in inside:
        yield from _walk(one)


def _dotted(node: ast.expr) -> str | None:
    """The key that an expression names, if it names one."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            room = _dotted(value)
            return f"{room}.{name}" if room else None
    return None


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BoolOp(op=op, values=values):
            together = all if isinstance(op, ast.And) else any
            return together(_value(one, known) for one in values)
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, known)
            return not value if isinstance(op, ast.Not) else SIGNS[type(op)](_number(value))
        case ast.BinOp(left=left, op=op, right=right):
            return ARITHMETIC[type(op)](_number(_value(left, known)), _number(_value(right, known)))
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [_value(one, known) for one in (left, *others)]
            return all(COMPARISONS[type(op)](a, b) for op, a, b in zip(ops, values, values[1:], strict=False))
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_number(_value(one, known)) for one in args))
    return known[str(_dotted(node))]


def _number(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} is no number")
