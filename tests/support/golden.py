"""The inputs and weights under which the original library gave the figures in tests/figures.

The formulas make them again from nothing; only what came out had to be stored.
"""

import functools
import json
import os
import zlib

import numpy as np

from deeplab_nb import settings as settings_module

DATA = os.path.join(os.path.dirname(__file__), "..", "figures")

# what the original built for each set of figures, all at output stride 16
VARIANTS = {
    "mobilenet_v2": {},
    "mobilenet_v2_dm0.5": {"depth_multiplier": 0.5},
    "xception_65": {"backbone": "xception_65", "aspp": True, "decoder": True},
    "resnet_v1_50_beta": {"backbone": "resnet_v1_50_beta", "aspp": True},
    "resnet_v1_50_beta_dec4": {"backbone": "resnet_v1_50_beta", "aspp": True, "decoder": True},
    "resnet_v1_101_beta": {"backbone": "resnet_v1_101_beta", "aspp": True},
    "resnet_v1_101_beta_dec4": {"backbone": "resnet_v1_101_beta", "aspp": True, "decoder": True},
}


def settings(variant, **more):
    return settings_module.read(dict(VARIANTS[variant], **more))


def figures(name):
    """Names, shapes and single numbers."""
    with open(os.path.join(DATA, name + ".json")) as file:
        return json.load(file)


def arrays(name):
    """Logits, and the norms of gradients and of moved statistics in the order of the variables."""
    return np.load(os.path.join(DATA, name + ".npz"))


def image(batch, height, width):
    """float32 [batch, height, width, 3] in 0..255."""
    b, y, x, c = np.ogrid[:batch, :height, :width, :3]
    values = 7 * y + 13 * x + 31 * c + 101 * b + (x * y) // 5 + 64 * ((y // 8 + x // 8) % 2)
    return (values % 256).astype(np.float32)


def label(batch, height, width):
    """int32 [batch, height, width] of 21 classes, 255 on every 17th diagonal."""
    b, y, x = np.ogrid[:batch, :height, :width]
    return np.where((x + y) % 17 == 0, 255, (3 * (y // 16) + 5 * (x // 16) + b) % 21).astype(
        np.int32
    )


def load_weights(session, variables, gain):
    """Gives each variable the value that its name stands for, all in one run of initialisers."""
    session.run(
        [v.initializer for v in variables],
        {
            v.initializer.inputs[1]: value(v.op.name, tuple(v.shape.as_list()), gain)
            for v in variables
        },
    )


@functools.lru_cache(maxsize=1000)  # those of one network, which several tests load
def value(name, shape, gain):
    z = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF).standard_normal(shape)
    kind = name.split("/")[-1]
    values = {
        "gamma": lambda: 1 + 0.1 * z,
        "moving_variance": lambda: 1 + 0.1 * abs(z),
        "beta": lambda: 0.1 * z,
        "moving_mean": lambda: 0.1 * z,
        "biases": lambda: 0.1 * z,
        "weights": lambda: z * gain / np.sqrt(np.prod(shape[:3])),
        "depthwise_weights": lambda: z * gain / np.sqrt(np.prod(shape[:2])),
    }
    return values[kind]().astype(np.float32)
