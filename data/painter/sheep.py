"""The drawn sample's sheep, in the same units as its vehicles."""

import numpy as np

from pen import box, hsv, oval


def sheep(pen, rng):
    """Standing or grazing; 1 unit is its length. White, cream, brown, grey or nearly black wool."""
    wool = hsv(
        *[
            (0.12, 0.05, 0.95),
            (0.11, 0.22, 0.9),
            (0.07, 0.5, 0.5),
            (0.6, 0.06, 0.6),
            (0.06, 0.25, 0.28),
        ][rng.randint(5)]
    )
    face = hsv(0.08, rng.uniform(0.15, 0.4), rng.choice([0.2, 0.3, 0.85]))
    pen.shadow(-0.42, 0.42)
    for x, tone in ((-0.18, 0.7), (0.3, 0.7), (-0.29, 1.0), (0.19, 1.0)):
        pen.shape(
            [(x - 0.045, 0.3), (x + 0.045, 0.3), (x + 0.035, 0.0), (x - 0.035, 0.0)],
            face * tone,
            shade=0.15,
        )
        pen.shape(box(x - 0.042, 0.0, x + 0.042, 0.04), face * 0.45, shade=0)
    pen.shape(oval(-0.45, 0.45, 0.07, 0.09), wool * 0.85, shade=0.2)
    grazing = rng.rand() < 0.4
    _fleece(pen, rng, wool)
    _sheep_head(
        pen,
        wool,
        face,
        np.array((0.45, 0.27)) if grazing else np.array((0.44, 0.62)),
        -1.1 if grazing else -0.35,
    )


def _fleece(pen, rng, wool):
    turn = np.linspace(0, 2 * np.pi, 15, endpoint=False)
    tufts = np.stack([0.33 * np.cos(turn), 0.43 + 0.17 * np.sin(turn)], 1)
    for spot in tufts:
        pen.shape(oval(*spot, 0.1, 0.1, 16), wool * 0.92, shade=0.12)
    pen.shape(oval(0, 0.43, 0.37, 0.21), wool * 0.97, shade=0.22)
    turn = rng.uniform(0, 2 * np.pi, 44)
    reach = np.sqrt(rng.rand(44))
    spots = np.stack([0.38 * reach * np.cos(turn), 0.43 + 0.22 * reach * np.sin(turn)], 1)
    arc = np.stack([np.cos(np.linspace(0, 4.2, 7)), np.sin(np.linspace(0, 4.2, 7))], 1)
    for spot in spots:
        tone = 1.12 if rng.rand() < 0.4 + (spot[1] - 0.43) * 1.5 else 0.76
        pen.line(spot + arc * rng.uniform(0.022, 0.034), 0.012, wool * tone, solid=False)


def _sheep_head(pen, wool, face, at, tilt):
    pen.shape(oval(*(at - (0.1, 0.02)), 0.13, 0.13), wool * 0.9, shade=0.2)
    nose = np.array([np.cos(tilt), np.sin(tilt)])
    pen.shape(
        oval(*(at - 0.06 * nose + (-0.08, 0.02)), 0.085, 0.035, 14, turn=0.5),
        face * 0.75,
        shade=0.1,
    )
    pen.shape(oval(*(at + 0.04 * nose), 0.14, 0.085, turn=tilt), face, shade=0.3)
    pen.shape(oval(*(at + (-0.07, 0.085)), 0.08, 0.055, 16), wool, shade=0.15)
    pen.shape(
        oval(*(at + 0.02 * nose + (0.0, 0.03)), 0.022, 0.022, 10),
        (0.97, 0.96, 0.9),
        shade=0,
        solid=False,
    )
    pen.shape(
        oval(*(at + 0.025 * nose + (0.002, 0.028)), 0.012, 0.012, 8),
        (0.06, 0.05, 0.07),
        shade=0,
        solid=False,
    )
    end = at + 0.15 * nose
    pen.strokes([end + (0.0, 0.012)], [end + (0.015, -0.012)], 0.012, face * 0.45)
