"""Texts and other loose values made into the types of settings, or refused in words."""
from typing import NewType, Optional, Tuple

ClassWeights = NewType("ClassWeights", Tuple[float, ...])  # may be empty and hold 0, unlike scales


def cast(kind, value):
    """`value` as the type `kind`. Raises ValueError, which says what fits."""
    if kind == Optional[float]:
        if value is None or str(value).lower() in ("none", ""):
            return None
        kind = float
    try:
        return _CASTS[kind](value)
    except (TypeError, ValueError):
        raise ValueError("needs {}, got {!r}".format(_WORDS[kind], value))


def _to_int(value):
    if isinstance(value, bool) or isinstance(value, float) and value != int(value):
        raise ValueError
    return int(value)


def _to_float(value):
    if isinstance(value, bool):
        raise ValueError
    number = float(value)
    if number != number or number in (float("inf"), -float("inf")):
        raise ValueError
    return number


def _to_bool(value):
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[value.lower()] if str(value).lower() in ("true", "false") else _refuse()


def _to_text(value):
    return value if isinstance(value, str) else _refuse()


def _to_scales(value):
    parts = value.strip("[]() ").split(",") if isinstance(value, str) else list(value)
    scales = tuple(_to_float(part) for part in parts)
    return scales if scales and min(scales) > 0 else _refuse()


def _to_weights(value):
    parts = value.strip("[]() ").split(",") if isinstance(value, str) else list(value)
    weights = tuple(_to_float(part) for part in parts if part != "")
    return weights if min(weights, default=0) >= 0 else _refuse()


def _to_grid(value):
    parts = value.strip("[]() ").split(",") if isinstance(value, str) else list(value)
    grid = tuple(_to_int(part) for part in parts)
    return grid if len(grid) == 3 and min(grid) > 0 else _refuse()


def _refuse():
    raise ValueError


_CASTS = {int: _to_int, float: _to_float, bool: _to_bool, str: _to_text, Tuple[float, ...]: _to_scales,
          ClassWeights: _to_weights, Tuple[int, ...]: _to_grid}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text",
          Tuple[float, ...]: "positive numbers such as 0.5,1.0", ClassWeights: "one number a class, none of them negative",
          Tuple[int, ...]: "three positive whole numbers such as 1,2,4"}
