"""The drawn sample's aeroplane, boat and car, from the side, in any paint.

Every object is drawn in its own units: x to its front, y up, its foot on y = 0. No colour is tied
to a class, so that a network has to learn shapes.
"""

import numpy as np

from pen import any_paint, box, curve, mix, oval


def aeroplane(pen, rng):
    """An airliner, or a light aircraft with a propeller; 1 unit is its length, y = 0 its wheels."""
    body, accent = mix(any_paint(rng), (1, 1, 1), rng.choice([0.0, 0.5, 0.85])), any_paint(rng)
    glass, light = (0.2, 0.28, 0.4), rng.rand() < 0.45
    wing = mix(body, (0.45, 0.5, 0.6), 0.35) if rng.rand() < 0.6 else accent
    pen.shadow(-0.45, 0.45)
    pen.shape(
        [(0.02, 0.2), (0.2, 0.2), (0.04, 0.42), (-0.06, 0.42)]
        if not light
        else [(0.12, 0.26), (0.22, 0.26), (0.17, 0.36), (0.08, 0.36)],
        wing * 0.8,
    )
    pen.shape([(-0.47, 0.2), (-0.28, 0.2), (-0.42, 0.45), (-0.52, 0.45)], accent)
    fuselage = (
        [
            (-0.5, 0.23),
            (-0.3, 0.12),
            (0.0, 0.08),
            (0.3, 0.08),
            (0.45, 0.12),
            (0.5, 0.17),
            (0.42, 0.23),
            (0.25, 0.26),
            (-0.2, 0.25),
        ]
        if not light
        else [
            (-0.5, 0.24),
            (-0.2, 0.11),
            (0.15, 0.06),
            (0.4, 0.08),
            (0.45, 0.14),
            (0.38, 0.2),
            (0.24, 0.23),
            (0.12, 0.31),
            (-0.03, 0.3),
            (-0.2, 0.22),
        ]
    )
    pen.shape(curve(fuselage), body, shade=0.3)
    pen.shape([(-0.4, 0.165), (0.42, 0.135), (0.47, 0.155), (-0.45, 0.2)], accent, shade=0.1)
    (_light_parts if light else _airliner_parts)(pen, wing, accent, glass)
    pen.shape([(-0.47, 0.2), (-0.33, 0.2), (-0.45, 0.12), (-0.55, 0.12)], wing * 0.95)


def _airliner_parts(pen, wing, accent, glass):
    for x in np.arange(-0.3, 0.3, 0.06):
        pen.shape(oval(x, 0.21, 0.017, 0.02, 10), glass, shade=0, solid=False)
    pen.shape(
        [(0.38, 0.19), (0.455, 0.18), (0.42, 0.225), (0.36, 0.235)], glass, shade=0.3, solid=False
    )
    pen.shape(
        curve([(0.0, 0.03), (0.13, 0.02), (0.15, 0.06), (0.12, 0.1), (0.0, 0.09)]),
        accent * 0.85,
        shade=0.4,
    )
    pen.shape([(-0.05, 0.15), (0.18, 0.14), (-0.12, -0.13), (-0.24, -0.13)], wing, shade=0.25)
    pen.line([(-0.04, 0.14), (-0.22, -0.11)], 0.012, wing * 0.75)
    for x in (-0.02, 0.34) if pen.grounded else ():
        pen.line([(x, 0.1), (x, 0.02)], 0.02, (0.5, 0.5, 0.55))
        pen.shape(oval(x, 0.0, 0.035, 0.035), (0.16, 0.16, 0.19))


def _light_parts(pen, wing, accent, glass):
    pen.shape(
        curve([(0.0, 0.22), (0.22, 0.21), (0.12, 0.28), (0.0, 0.28)]), glass, shade=0.5, solid=False
    )
    pen.line([(0.12, 0.2), (0.12, 0.29)], 0.014, accent, solid=False)
    for x in (-0.02, 0.26):
        pen.line([(0.12, 0.1), (x, 0.02)], 0.02, accent * 0.7)
        pen.shape(oval(x, 0.0, 0.042, 0.042), (0.16, 0.16, 0.19))
    pen.shape([(0.0, 0.16), (0.22, 0.16), (0.1, -0.07), (-0.06, -0.07)], wing, shade=0.25)
    pen.shape(oval(0.465, 0.13, 0.02, 0.19), (0.75, 0.77, 0.82), alpha=0.75)
    pen.shape(oval(0.46, 0.13, 0.035, 0.035), accent)


def boat(pen, rng):
    """A sailing boat or a fishing boat; 1 unit is the hull's length, y = 0 the waterline."""
    hull, trim = any_paint(rng), any_paint(rng)
    sail = mix(any_paint(rng), (1, 0.98, 0.92), rng.choice([0.1, 0.6, 0.9]))
    pen.shadow(-0.5, 0.5, depth=0.1)
    for x in (-0.22, 0.2) if pen.grounded else ():
        pen.shape(
            [(x - 0.12, -0.09), (x + 0.12, -0.09), (x + 0.02, 0.08), (x - 0.02, 0.08)],
            (0.5, 0.37, 0.25),
        )
    (_sails if rng.rand() < 0.6 else _cabin)(pen, rng, sail, trim)
    outline = [
        (-0.48, 0.26),
        (-0.38, -0.05),
        (0.25, -0.05),
        (0.4, 0.06),
        (0.56, 0.31),
        (0.2, 0.23),
        (-0.2, 0.21),
    ]
    pen.shape(curve(outline, 4), hull, shade=0.35)
    pen.shape(
        [
            (-0.47, 0.24),
            (-0.2, 0.19),
            (0.2, 0.21),
            (0.53, 0.28),
            (0.5, 0.23),
            (0.2, 0.16),
            (-0.2, 0.14),
            (-0.46, 0.19),
        ],
        trim,
        shade=0.15,
        solid=False,
    )
    pen.strokes([(-0.41, 0.09), (-0.39, 0.03)], [(0.38, 0.11), (0.34, 0.05)], 0.01, hull * 0.72)
    for x in rng.choice([-0.25, -0.05, 0.15, 0.3], 2, replace=False):
        pen.shape(oval(x, 0.1, 0.03, 0.03, 14), (0.92, 0.9, 0.82), shade=0.5, solid=False)


def _sails(pen, rng, sail, trim):
    top, lean = rng.uniform(0.95, 1.2), rng.uniform(0.02, 0.08)
    pen.line([(0.02, 0.1), (0.02, top)], 0.035, (0.42, 0.29, 0.19))
    pen.shape(
        curve(
            [
                (-0.02, 0.32),
                (-0.2, 0.3),
                (-0.44, 0.34),
                (-0.3 - lean, 0.6),
                (-0.1, top - 0.12),
                (-0.02, top - 0.05),
            ],
            4,
        ),
        sail,
        shade=0.25,
    )
    jib = mix(sail, trim, rng.choice([0.0, 0.7]))
    pen.shape(
        [(0.06, 0.33), (0.25, 0.31), (0.48, 0.34), (0.25, 0.6), (0.06, top - 0.1)],
        jib * 0.95,
        shade=0.25,
    )
    for share in (0.35, 0.65):
        y = 0.32 + share * (top - 0.4)
        pen.strokes([(-0.03, y)], [(-0.38 * (1 - share) - 0.06, y + 0.03)], 0.01, sail * 0.78)
    pen.shape([(0.02, top), (0.02, top - 0.08), (0.16, top - 0.04)], trim)


def _cabin(pen, rng, sail, trim):
    roof = rng.uniform(0.52, 0.64)
    pen.line([(0.18, 0.2), (0.18, roof + 0.3)], 0.03, (0.42, 0.29, 0.19))
    pen.line([(0.18, roof + 0.28), (0.5, 0.3)], 0.012, (0.35, 0.3, 0.3), solid=False)
    pen.shape(box(-0.24, roof - 0.05, -0.1, roof + 0.17), trim)
    pen.shape(box(-0.24, roof + 0.08, -0.1, roof + 0.13), (0.95, 0.93, 0.88), solid=False)
    pen.shape(box(-0.34, 0.15, 0.14, roof), sail, shade=0.25)
    pen.shape(box(-0.39, roof - 0.02, 0.19, roof + 0.05), trim * 0.85)
    for x in (-0.28, -0.13, 0.02):
        pen.shape(
            box(x, roof - 0.18, x + 0.09, roof - 0.07), (0.3, 0.42, 0.55), shade=0.5, solid=False
        )


def car(pen, rng):
    """Saloon, hatchback, van, pick-up or beetle from the side; 1 unit is its length."""
    colour = any_paint(rng)
    body, cabin, panes = CAR_SHAPES[rng.randint(len(CAR_SHAPES))]
    pen.shadow(-0.52, 0.52)
    roof = any_paint(rng) if rng.rand() < 0.25 else colour
    pen.shape(curve(cabin, 4), roof, shade=0.25)
    for pane in panes:
        pen.shape(pane, (0.36, 0.47, 0.58), shade=0.55, solid=False)
        (left, low), (right, high) = np.min(pane, 0), np.max(pane, 0)
        glint = np.array(
            [(-0.03, low + 0.01), (0, low + 0.01), (0.04, high - 0.01), (0.01, high - 0.01)]
        )
        pen.shape(glint + ((left + right) / 2, 0), (1, 1, 1), shade=0, alpha=0.35, solid=False)
    pen.shape(curve(body, 4), colour, shade=0.3)
    pen.shape(box(-0.44, 0.075, 0.44, 0.105), colour * 0.55, shade=0, solid=False)
    pen.strokes(
        [(0.0, 0.24), (-0.43, 0.2), (0.06, 0.205)],
        [(0.0, 0.1), (0.43, 0.2), (0.1, 0.205)],
        0.009,
        colour * 0.62,
    )
    pen.shape(oval(0.465, 0.19, 0.024, 0.03, 14), (1.0, 0.95, 0.7), shade=0.1)
    pen.shape(box(-0.5, 0.16, -0.475, 0.22), (0.8, 0.15, 0.12), shade=0)
    for x in (-0.3, 0.3):
        _wheel(pen, x, rng.uniform(0.095, 0.105))


CAR_SHAPES = (
    # saloon
    (
        [(-0.5, 0.1), (0.49, 0.09), (0.5, 0.19), (0.42, 0.235), (0.22, 0.26), (-0.48, 0.265)],
        [(-0.36, 0.24), (-0.2, 0.4), (0.06, 0.41), (0.26, 0.24)],
        (
            [(-0.29, 0.26), (-0.18, 0.375), (-0.06, 0.38), (-0.06, 0.26)],
            [(-0.03, 0.26), (-0.03, 0.38), (0.06, 0.375), (0.19, 0.26)],
        ),
    ),
    # hatchback
    (
        [(-0.47, 0.1), (0.48, 0.09), (0.49, 0.2), (0.4, 0.25), (0.2, 0.29), (-0.46, 0.3)],
        [(-0.46, 0.26), (-0.39, 0.44), (0.0, 0.46), (0.25, 0.26)],
        (
            [(-0.37, 0.29), (-0.32, 0.41), (-0.13, 0.425), (-0.13, 0.29)],
            [(-0.1, 0.29), (-0.1, 0.425), (0.0, 0.42), (0.17, 0.29)],
        ),
    ),
    # van
    (
        [(-0.5, 0.09), (0.49, 0.09), (0.5, 0.22), (0.42, 0.3), (0.2, 0.32), (-0.5, 0.32)],
        [(-0.5, 0.25), (-0.49, 0.54), (0.18, 0.55), (0.32, 0.45), (0.4, 0.27)],
        (
            [(-0.42, 0.35), (-0.42, 0.49), (-0.2, 0.49), (-0.2, 0.35)],
            [(-0.15, 0.35), (-0.15, 0.49), (0.04, 0.49), (0.04, 0.35)],
            [(0.09, 0.33), (0.09, 0.49), (0.2, 0.49), (0.33, 0.33)],
        ),
    ),
    # pick-up
    (
        [(-0.5, 0.11), (0.48, 0.1), (0.5, 0.21), (0.42, 0.27), (0.2, 0.28), (-0.5, 0.29)],
        [(-0.08, 0.25), (-0.06, 0.45), (0.14, 0.46), (0.28, 0.25)],
        ([(-0.03, 0.28), (-0.02, 0.42), (0.12, 0.425), (0.22, 0.28)],),
    ),
    # beetle
    (
        [
            (-0.47, 0.1),
            (0.46, 0.1),
            (0.5, 0.16),
            (0.42, 0.27),
            (0.22, 0.3),
            (-0.3, 0.31),
            (-0.46, 0.22),
        ],
        [(-0.38, 0.24), (-0.26, 0.42), (-0.05, 0.47), (0.13, 0.42), (0.24, 0.25)],
        (
            [(-0.25, 0.3), (-0.19, 0.39), (-0.06, 0.425), (-0.06, 0.3)],
            [(-0.03, 0.3), (-0.03, 0.425), (0.09, 0.39), (0.17, 0.3)],
        ),
    ),
)


def _wheel(pen, x, radius):
    pen.shape(oval(x, radius, radius * 1.15, radius * 1.15), (0.1, 0.09, 0.12), shade=0)
    pen.shape(oval(x, radius * 0.95, radius, radius), (0.2, 0.2, 0.23), shade=0.3)
    pen.shape(
        oval(x, radius * 0.95, radius * 0.58, radius * 0.58, 18),
        (0.78, 0.79, 0.82),
        shade=0.35,
        solid=False,
    )
    turn = np.linspace(0, np.pi, 3, endpoint=False) + x
    spokes = radius * 0.5 * np.stack([np.cos(turn), np.sin(turn)], 1)
    pen.strokes(
        spokes + (x, radius * 0.95), -spokes + (x, radius * 0.95), 0.012, (0.42, 0.43, 0.47)
    )
