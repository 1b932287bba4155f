"""Reads settings strictly and keeps them; `fields` lists them.

An unknown name or a wrong type is an error that names the nearest right one. Both files import only
ground files: errors, files, and the names of Ascend profiles and of the originals.
"""

import dataclasses
import json
import math
import os
import reprlib
from typing import Mapping, Optional, Tuple

import yaml

from deeplab_nb import originals
from deeplab_nb.errors import WorkbookError, nearest
from deeplab_nb.fields import FIELDS, ClassWeights, Settings, known
from deeplab_nb.files import ROOT, read_json, write_json

SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of the papers' and the MindSpore entry
MEAN_PIXEL = 127.5  # the grey of padding; the network's normalisation maps it to 0


def crop_for(longest_side):
    """Side of the smallest square 16k+1 that holds an image: 500 gives VOC's 513.

    At output strides 8 and 16 its corners then lie on the feature grid.
    """
    return -(-(longest_side - 1) // 16) * 16 + 1


def hint(name, names):
    """A sentence's end on an unknown name: what an original's word is here, or the nearest."""
    meaning = originals.meaning(name)
    return f": {meaning}" if meaning else nearest(name, names)


def read(values: Mapping) -> Settings:
    """Settings from names and values; texts such as '1e-4' or 'false' are cast.

    Raises WorkbookError for an unknown name, a wrong type or a value out of range.
    """
    for name in values:
        if name not in FIELDS:
            raise WorkbookError(f"unknown setting '{name}'{hint(name, FIELDS)}")
    settings = Settings(**{name: _checked(FIELDS[name], value) for name, value in values.items()})
    for rules in (_of_data, _of_loss, _of_slow_start, _of_precision):
        for sentence in rules(settings):
            raise WorkbookError(sentence)
    return settings


def override(settings: Settings, values: Mapping) -> Settings:
    """The same settings with some changed, as strictly checked as by `read`."""
    return read({**as_dict(settings), **values})


def changes(before: Settings, after: Settings) -> dict:
    """{setting: text} of what differs, as a person would type it."""
    old = as_dict(before)
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in as_dict(after).items()
        if value != old[name]
    }


def as_dict(settings: Settings) -> dict:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(settings).items()
    }


def resolve(settings):
    """The same settings with absolute paths; relative ones start at the project's folder."""
    given = {name: getattr(settings, name) for name in known("path")}
    absolute = {name: os.path.join(ROOT, path) for name, path in given.items() if path}
    return dataclasses.replace(settings, **absolute)


def make_absolute(overrides):
    """Paths that a person typed are meant from where they stand."""
    return {
        name: os.path.abspath(value) if name in known("path") and value else value
        for name, value in overrides.items()
    }


def save(settings: Settings, folder: str) -> str:
    """Writes FOLDER/settings.json, whole or not at all; returns its path."""
    return write_json(os.path.join(folder, "settings.json"), as_dict(settings))


def load(folder: str) -> Settings:
    """The settings that `save` wrote into a folder."""
    path, remedy = os.path.join(folder, "settings.json"), "restore it, or give another folder"
    try:
        return read({**read_json(path)})
    except FileNotFoundError:
        raise WorkbookError(f"{path} does not exist: name a folder that a run has written")
    except (OSError, ValueError) as error:
        raise WorkbookError(f"{path} is not readable JSON ({error}): {remedy}")
    except TypeError:
        raise WorkbookError(f"{path} holds no settings: {remedy}")
    except WorkbookError as error:
        raise WorkbookError(f"{path}: {error}")


def cast(kind, value):
    """A text or another loose value as a type of settings or of notebook parameters.

    Raises ValueError, which says what fits, and KeyError for a type that no one may set.
    """
    if kind == Optional[float] and str(value).lower() in ("none", ""):
        return None
    function, words = CASTS[float if kind == Optional[float] else kind]
    try:
        return function(value)
    except (TypeError, ValueError, OverflowError, RecursionError, yaml.YAMLError):
        raise ValueError(f"needs {words}, got {reprlib.repr(value)}")


def _held(value, fits):
    """The value, if it fits."""
    if not fits:
        raise ValueError
    return value


def _to_int(value):
    whole = not isinstance(value, float) or value.is_integer()
    number = int(_held(value, whole and not isinstance(value, bool)))
    return _held(number, abs(number) < 2**63)


def _to_float(value):
    number = float(_held(value, not isinstance(value, bool)))
    return _held(number, math.isfinite(number))


def _to_bool(value):
    word = str(value).lower()
    return _held(word == "true", word in ("true", "false"))


def _to_text(value):
    return _held(value, isinstance(value, str))


def _numbers(value, number):
    """A tuple of a list, or of a text such as '[0.5, 1]'."""
    if isinstance(value, str):
        text = value.strip("[]() ")
        value = text.split(",") if text else ()
    return tuple(map(number, value))


def _to_scales(value):
    scales = _numbers(value, _to_float)
    return _held(scales, min(scales) > 0)


def _to_weights(value):
    weights = _numbers(value, _to_float)
    return _held(weights, min(weights, default=0) >= 0)


def _to_grid(value):
    grid = _numbers(value, _to_int)
    return _held(grid, len(grid) == 3 and min(grid) > 0)


def _to_list(value):
    read = _to_any(value)
    return _held(read, isinstance(read, list))


def _to_any(value):
    read = _with_numbers(yaml.safe_load(value))
    json.dumps(read, allow_nan=False)  # what JSON has no words for, no command could hand on
    return read


def _with_numbers(read):
    """YAML 1.1 takes 1e-4 for a text; here it is a number, in lists too."""
    if isinstance(read, list):
        return [_with_numbers(item) for item in read]
    try:
        return _to_float(read) if isinstance(read, str) else read
    except ValueError:
        return read


# how a value becomes one of a type, and what is said of one that cannot
CASTS = {
    int: (_to_int, "a whole number"),
    float: (_to_float, "a number"),
    bool: (_to_bool, "true or false"),
    str: (_to_text, "a text"),
    Tuple[float, ...]: (_to_scales, "positive numbers such as 0.5,1.0"),
    ClassWeights: (_to_weights, "one number a class, none of them negative"),
    Tuple[int, ...]: (_to_grid, "three positive whole numbers such as 1,2,4"),
    list: (_to_list, "a list such as [1, 2]"),
    type(None): (_to_any, "a value that YAML can read"),
}


def _checked(field, value):
    """`value` as the field's type and within its limits, or a WorkbookError that says what fits."""
    try:
        checked = cast(field.type, value)
    except ValueError as error:
        raise WorkbookError(f"setting '{field.name}' {error}")
    choices, at_least = field.metadata["choices"], field.metadata["at_least"]
    if choices and checked not in choices:
        close = nearest(checked, choices) if field.type is str else ""
        allowed = ", ".join(map(str, choices))
        raise WorkbookError(f"setting '{field.name}' is {checked!r}, it can be {allowed}{close}")
    if at_least is not None and checked is not None and checked < at_least:
        raise WorkbookError(f"setting '{field.name}' is {checked}, it must be at least {at_least}")
    return checked


# rules that hold between settings: each yields a sentence for what does not go together
def _of_data(settings):
    if settings.max_scale < settings.min_scale:
        yield f"max_scale {settings.max_scale} is below min_scale {settings.min_scale}: swap them"
    if (settings.max_resize_value or settings.resize_factor) and not settings.min_resize_value:
        yield (
            "max_resize_value and resize_factor do nothing while min_resize_value is 0: set it too"
        )
    if not settings.num_classes <= settings.ignore_label <= 255:
        yield (
            f"ignore_label {settings.ignore_label} must lie in num_classes..255 "
            f"({settings.num_classes}..255), or it would hide a class"
        )
    crop = settings.train_crop_size
    if (crop - 1) % 8:
        yield (
            f"train_crop_size {crop} must be 8k+1, such as {(crop - 1) // 8 * 8 + 1}, so that "
            "its corners lie on the feature grid"
        )


def _of_loss(settings):
    if settings.class_weights and len(settings.class_weights) != settings.num_classes:
        yield (
            f"class_weights has {len(settings.class_weights)} numbers for "
            f"{settings.num_classes} classes: give one a class"
        )
    if not 0 < settings.top_k_percent_pixels <= 1:
        yield (
            f"top_k_percent_pixels is {settings.top_k_percent_pixels}, it must be above 0 and "
            "at most 1: it is a share of the pixels"
        )
    if settings.hard_example_mining_step and settings.top_k_percent_pixels == 1:
        yield "hard_example_mining_step needs a share to go to: set top_k_percent_pixels below 1"
    if settings.loss_stride > 1 and not settings.upsample_logits:
        yield (
            f"loss_stride {settings.loss_stride} is for upsampled logits: set "
            "upsample_logits=true or loss_stride=1"
        )
    if settings.train_batch_size % settings.clones:
        yield (
            f"clones {settings.clones} do not share train_batch_size "
            f"{settings.train_batch_size} evenly: change one"
        )


def _changed(settings, *names):
    """Those of the settings that differ from their defaults."""
    return [name for name in names if getattr(settings, name) != FIELDS[name].default]


def _of_slow_start(settings):
    if not settings.slow_start_step:
        for name in _changed(settings, "slow_start_learning_rate", "slow_start_type"):
            yield f"{name} has no steps: set slow_start_step"
    if 0 < settings.train_steps <= settings.slow_start_step:
        yield (
            f"slow_start_step {settings.slow_start_step} leaves none of the "
            f"{settings.train_steps} train_steps to the schedule: lower it"
        )


def _of_precision(settings):
    if settings.loss_scale == "none":
        for name in _changed(settings, "initial_loss_scale", "loss_scale_steps"):
            yield f"{name} does nothing while loss_scale is none: set loss_scale=exponential"
    on_card = settings.mixed_precision and settings.device == "npu"
    if settings.mixed_type == "bfloat16" and not on_card:
        yield (
            "mixed_type bfloat16 is for mixed precision on an Ascend card: set "
            "mixed_precision=true and device=npu, or leave it out"
        )
    if settings.mixlist and not settings.mixed_precision:
        yield f"mixlist {settings.mixlist} is for mixed precision: set mixed_precision=true"
