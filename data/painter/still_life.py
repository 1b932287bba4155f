"""The drawn sample's bottle and potted plant, in the same units as its vehicles."""

import numpy as np

from pen import any_paint, box, curve, hsv, mix, oval


def bottle(pen, rng):
    """1 unit is the bottle's height. Green, brown, blue, clear or milky glass, some labelled."""
    glass = hsv(
        *[
            (rng.uniform(0.25, 0.42), 0.6, 0.45),
            (0.07, 0.7, 0.4),
            (rng.uniform(0.52, 0.66), 0.6, 0.6),
            (0.5, 0.08, 0.88),
            (rng.rand(), 0.45, 0.75),
        ][rng.randint(5)]
    )
    half, shoulder, neck = rng.uniform(0.15, 0.2), rng.uniform(0.48, 0.62), rng.uniform(0.045, 0.06)
    slope = rng.uniform(0.06, 0.18)
    side = [
        (half * 0.93, 0.0),
        (half, 0.03),
        (half, shoulder - 0.03),
        (half * 0.96, shoulder),
        (half * 0.7, shoulder + slope * 0.5),
        (neck * 1.1, shoulder + slope),
        (neck, 0.86),
        (neck, 0.93),
    ]
    outline = np.array(side + [(-x, y) for x, y in side[::-1]])
    pen.shadow(-half, half, depth=0.04)
    pen.shape(outline, glass, shade=0.25, alpha=0.9)
    _glass(pen, side, glass)
    if rng.rand() < 0.75:
        _label(pen, rng, half, shoulder)
    else:
        level = rng.uniform(0.2, shoulder - 0.08)
        pen.shape(
            box(-half * 0.88, 0.03, half * 0.88, level),
            any_paint(rng),
            shade=0.2,
            alpha=0.75,
            solid=False,
        )
        pen.shape(oval(0, level, half * 0.88, 0.02), (1, 1, 1), shade=0, alpha=0.4, solid=False)
    cap = any_paint(rng)
    pen.shape(box(-neck * 1.25, 0.9, neck * 1.25, 1.0), cap, shade=0.4)
    pen.strokes([(-neck, 0.915)], [(neck, 0.915)], 0.012, cap * 0.65)
    pen.shape(
        [
            (-half * 0.72, 0.06),
            (-half * 0.5, 0.06),
            (-half * 0.5, shoulder - 0.02),
            (-half * 0.68, shoulder - 0.02),
        ],
        (1, 1, 1),
        shade=0,
        alpha=0.5,
        solid=False,
    )
    pen.shape(
        box(-neck * 0.65, shoulder + slope, -neck * 0.25, 0.88),
        (1, 1, 1),
        shade=0,
        alpha=0.5,
        solid=False,
    )


def _glass(pen, side, glass):
    """Glass darkens towards its rims, where one looks through more of it."""
    right = [(x, y) for x, y in side] + [(x * 0.72, y) for x, y in side[::-1]]
    left = [(-x, y) for x, y in side] + [(-x * 0.85, y) for x, y in side[::-1]]
    pen.shape(right, glass * 0.5, shade=0, alpha=0.55, solid=False)
    pen.shape(left, glass * 0.5, shade=0, alpha=0.45, solid=False)


def _label(pen, rng, half, shoulder):
    low, high = rng.uniform(0.1, 0.18), shoulder - rng.uniform(0.06, 0.14)
    ground, ink = mix(any_paint(rng), (1, 0.97, 0.88), rng.choice([0.2, 0.9])), any_paint(rng)
    pen.shape(box(-half, low, half, high), ground, shade=0.2, solid=False)
    pen.shape(box(half * 0.6, low, half, high), ground * 0.5, shade=0, alpha=0.3, solid=False)
    pen.shape(box(-half, high - 0.045, half, high - 0.02), ink, shade=0, solid=False)
    pen.shape(box(-half, low + 0.02, half, low + 0.045), ink, shade=0, solid=False)
    middle = (low + high) / 2
    if rng.rand() < 0.5:
        pen.shape(oval(0, middle, half * 0.5, half * 0.5), ink, shade=0.3, solid=False)
    else:
        pen.shape(
            [
                (-half * 0.5, middle),
                (0, middle + half * 0.6),
                (half * 0.5, middle),
                (0, middle - half * 0.6),
            ],
            ink,
            solid=False,
        )


def pottedplant(pen, rng):
    """A pot with a bush, blades, fronds or flowers; 1 unit is the height of both."""
    pen.shadow(-0.24, 0.26, depth=0.05)
    rim = rng.uniform(0.3, 0.4)
    leaf = hsv(rng.uniform(0.2, 0.43), rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.7))
    if rng.rand() < 0.15:
        leaf = hsv(rng.uniform(0.88, 1.02), 0.5, 0.5)
    (_bush, _blades, _fronds, _flowers)[rng.randint(4)](pen, rng, rim, leaf)
    _pot(pen, rng, rim)


def _pot(pen, rng, rim):
    clay = hsv(rng.uniform(0.02, 0.07), 0.6, 0.75) if rng.rand() < 0.35 else any_paint(rng)
    foot, top = rng.uniform(0.11, 0.17), rng.uniform(0.18, 0.23)
    belly = curve(
        [
            (-foot, 0),
            (foot, 0),
            (top * 1.1, rim * 0.6),
            (top, rim),
            (-top, rim),
            (-top * 1.1, rim * 0.6),
        ],
        4,
    )
    pen.shape(
        [(-foot, 0), (foot, 0), (top, rim), (-top, rim)] if rng.rand() < 0.6 else belly,
        clay,
        shade=0.4,
    )
    low, high = rim * 0.35, rim * 0.62
    ornament, xs, kind = (
        mix(clay, any_paint(rng), 0.7),
        np.linspace(-foot * 0.95, foot * 0.95, 7),
        rng.randint(4),
    )
    if kind == 0:
        pen.line(
            np.stack([xs, np.where(np.arange(7) % 2, high, low)], 1), 0.022, ornament, solid=False
        )
    elif kind == 1:
        for x in xs[::2]:
            pen.shape(oval(x, (low + high) / 2, 0.024, 0.024, 12), ornament, shade=0, solid=False)
    elif kind == 2:
        pen.strokes([(-foot, low), (-foot, high)], [(foot, low), (foot, high)], 0.025, ornament)
    pen.shape(box(-top * 1.13, rim - 0.07, top * 1.13, rim + 0.015), clay * 1.05, shade=0.35)
    pen.strokes([(-top, rim - 0.075)], [(top, rim - 0.075)], 0.012, clay * 0.6)


def _leaf(pen, root, angle, length, width, colour):
    """A leaf in two halves about its rib, the upper one in the light."""
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    steps = np.array([0, 0.2, 0.45, 0.7, 0.9, 1.0])[:, None]
    breadth = width * np.array([0.0, 0.75, 1.0, 0.72, 0.3, 0.0])[:, None]
    rib = np.asarray(root) + steps * length * along
    lit = 1 if across[1] > 0 else -1
    pen.shape(
        np.concatenate([rib, (rib - lit * breadth * across)[::-1]]),
        np.asarray(colour) * 0.78,
        shade=0,
    )
    pen.shape(
        np.concatenate([rib, (rib + lit * breadth * across)[::-1]]),
        np.asarray(colour) * 1.12,
        shade=0,
    )


def _bush(pen, rng, rim, leaf):
    pen.shape(oval(0, rim + 0.26, 0.22, 0.27), leaf * 0.5, shade=0.2)
    order = np.linspace(1.0, 0.15, 46)
    for reach in order:
        turn = rng.uniform(-0.5, np.pi + 0.5)
        root = (0.2 * reach * np.cos(turn), rim + 0.24 + 0.24 * reach * np.sin(turn))
        _leaf(
            pen,
            root,
            turn + rng.uniform(-0.6, 0.6),
            rng.uniform(0.11, 0.17),
            0.042,
            leaf * rng.uniform(0.75, 1.25),
        )


def _blades(pen, rng, rim, leaf):
    edge = mix(leaf, (0.95, 0.9, 0.5), 0.6)
    for x in rng.permutation(np.linspace(-0.15, 0.15, 9)):
        tip, lean, width = (
            rng.uniform(0.7, 1.0),
            x * rng.uniform(1.0, 2.4),
            rng.uniform(0.04, 0.055),
        )
        blade = [
            (x - width * 0.8, rim - 0.05),
            (x + lean * 0.4 - width, rim + 0.25),
            (x + lean, tip),
            (x + lean * 0.4 + width, rim + 0.25),
            (x + width * 0.8, rim - 0.05),
        ]
        pen.shape(curve(blade, 4), edge, shade=0)
        inner = np.array(blade)
        inner[[0, 1], 0] += 0.014
        inner[[3, 4], 0] -= 0.014
        pen.shape(inner, leaf * rng.uniform(0.7, 1.1), shade=0.2)


def _fronds(pen, rng, rim, leaf):
    for turn in rng.permutation(np.linspace(0.25, np.pi - 0.25, 9)):
        reach, t = rng.uniform(0.42, 0.55), np.linspace(0, 1, 9)[:, None]
        rib = np.array([0, rim - 0.03]) + t * reach * 1.15 * np.array(
            [np.cos(turn) * 0.75, np.sin(turn) + 0.25]
        )
        rib[:, 1] -= 0.2 * reach * t[:, 0] ** 3 * 2 * abs(np.cos(turn))
        tone = leaf * rng.uniform(0.75, 1.2)
        pen.line(rib, 0.02, tone * 0.8)
        for at, spot in zip(t[2:, 0], rib[2:]):
            for side in (-1, 1):
                _leaf(
                    pen,
                    spot,
                    turn + side * 1.0 * (1.1 - at * 0.6),
                    0.17 * (1.15 - 0.6 * at),
                    0.026,
                    tone,
                )


def _flowers(pen, rng, rim, leaf):
    petal, heart = hsv(rng.uniform(-0.3, 0.16), rng.uniform(0.1, 0.8), 0.95), hsv(0.13, 0.7, 0.95)
    for turn in np.linspace(-0.1, np.pi + 0.1, 13):
        _leaf(pen, (0, rim), turn, rng.uniform(0.25, 0.36), 0.06, leaf * rng.uniform(0.75, 1.2))
    for x in rng.permutation(np.linspace(-0.24, 0.24, 5)):
        bloom = (x + rng.uniform(-0.02, 0.02), rng.uniform(rim + 0.3, 0.92))
        pen.line([(x * 0.3, rim), (x * 0.7, rim + 0.2), bloom], 0.022, leaf * 0.8)
        for turn in np.arange(6) * np.pi / 3:
            pen.shape(
                oval(
                    bloom[0] + 0.05 * np.cos(turn), bloom[1] + 0.05 * np.sin(turn), 0.036, 0.036, 12
                ),
                petal * rng.uniform(0.85, 1.05),
                shade=0,
            )
        pen.shape(oval(*bloom, 0.032, 0.032, 12), heart, shade=0.2)
