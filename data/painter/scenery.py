"""What the drawn sample's backdrops are made of: washes, brush strokes, hills, sky, trees, houses.

Sizes in pixels are those of a picture of about 480 x 360.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pen import any_paint, mix, oval, paint, rgb, soft_paint


def wash(picture, rng, top, foot, *, rows=(0.0, 1.0), mottle=0.05):
    """Fills rows with a gradient, mottled as wet paint is; painted small, since it is smooth."""
    width, high, low = picture.width, int(rows[0] * picture.height), int(rows[1] * picture.height)
    t = np.linspace(0, 1, 24)[:, None, None]
    tone = (
        np.asarray(top) * (1 - t) + np.asarray(foot) * t + rng.uniform(-mottle, mottle, (24, 24, 1))
    )
    small = Image.fromarray((255 * tone.clip(0, 1)).astype(np.uint8)).resize(
        (width // 4, (low - high) // 4 + 1), Image.BICUBIC
    )
    picture.paste(small.resize((width, low - high), Image.BILINEAR), (0, high))


def dabs(picture, rng, rows, count, length, colours, *, tilt=0.0, spread=0.15, width=2):
    """`count` brush strokes in rows (shares), longer towards the viewer; `length` in pixels."""
    draw, (high, low) = ImageDraw.Draw(picture), np.array(rows) * picture.height
    depth = rng.rand(count)
    x, y = rng.uniform(0, picture.width, count), high + (low - high) * depth
    reach, turn = (
        length * (0.35 + 0.65 * depth) * rng.uniform(0.6, 1.3, count),
        rng.normal(tilt, spread, count),
    )
    ends = np.stack([x, y, x + reach * np.cos(turn), y - reach * np.sin(turn)], 1)
    picks = rng.randint(len(colours), size=count)
    tints = [rgb(colour) for colour in colours]
    for end, pick in zip(ends.tolist(), picks):
        draw.line(end, fill=tints[pick], width=width)


def ridge(picture, rng, level, height, colour, *, shade=0.0):
    """A hilly silhouette whose crest wanders about `level` (share of the height)."""
    x, phase = np.linspace(0, 1, 40), rng.uniform(0, 6.3, 3)
    crest = sum(np.sin(x * k + p) / k for k, p in zip(rng.uniform((2, 5, 10), (5, 9, 20)), phase))
    y = (level - height * crest / 0.5) * picture.height
    dots = np.concatenate(
        [
            np.stack([x * picture.width, y], 1),
            [(picture.width, picture.height), (0, picture.height)],
        ]
    )
    paint(picture, dots, colour, shade=shade)


def sky(picture, rng, mood, foot=1.0):
    wash(picture, rng, mood.top, mood.foot, rows=(0, foot), mottle=0.02)
    side = min(picture.size)
    if rng.rand() < 0.4:
        at = rng.uniform((0.1, 0.08), (0.9, 0.5 * foot)) * picture.size
        soft_paint(
            picture, oval(*at, 0.13 * side, 0.13 * side), (1, 0.95, 0.75), 0.5, blur=0.06 * side
        )
        paint(picture, oval(*at, 0.05 * side, 0.05 * side), (1.0, 0.96, 0.8))
    clouds = Image.new("L", (picture.width // 4, picture.height // 4))
    for _ in range(rng.randint(1, 5)):
        at, reach = (
            rng.uniform((0, 0.03), (1, 0.6 * foot)) * clouds.size,
            side / 4 * rng.uniform(0.07, 0.16),
        )
        for x in np.linspace(-1, 1, 5):
            puff = reach * (1 - 0.6 * abs(x)) * rng.uniform(0.55, 0.95)
            left, top = at[0] + (1.3 * x - 0.5) * reach, at[1] - puff * 1.4
            ImageDraw.Draw(clouds).ellipse(
                (left, top, left + 1.3 * reach, top + 2 * puff), fill=rng.randint(150, 235)
            )
    clouds = clouds.filter(ImageFilter.GaussianBlur(1.3)).resize(picture.size, Image.BILINEAR)
    picture.paste(rgb(mood.cloud), (0, 0, *picture.size), clouds)


def tree(picture, rng, x, y, height, leaf):
    paint(
        picture,
        np.array(
            [
                (x - height * 0.05, y),
                (x - height * 0.03, y - height * 0.5),
                (x + height * 0.03, y - height * 0.5),
                (x + height * 0.05, y),
            ]
        ),
        (0.36, 0.26, 0.2),
    )
    for tone, count in ((0.7, 7), (0.95, 7), (1.15, 5)):
        for _ in range(count):
            dx, dy = rng.normal(0, 0.14, 2) * height
            lift = (tone - 0.9) * 0.25 * height
            paint(
                picture,
                oval(
                    x + dx - lift * 0.6,
                    y - 0.66 * height + dy - lift,
                    height * 0.13,
                    height * 0.11,
                    12,
                ),
                leaf * tone,
            )


def house(picture, rng, left, foot, width, height):
    wall, roof = (
        mix(any_paint(rng), (0.95, 0.9, 0.8), 0.6),
        mix(any_paint(rng), (0.55, 0.3, 0.22), 0.6),
    )
    top = foot - height
    paint(
        picture,
        np.array([(left, top), (left + width, top), (left + width, foot), (left, foot)]),
        wall,
        shade=0.12,
    )
    slope = height * rng.uniform(0.2, 0.4)
    gable = [
        (left - 5, top),
        (left + width * 0.2, top - slope),
        (left + width * 0.8, top - slope),
        (left + width + 5, top),
    ]
    paint(picture, np.array(gable), roof, shade=0.2)
    pane, frame = rng.choice([0, 1]), mix(wall, (1, 1, 1), 0.5)
    glass = (0.98, 0.85, 0.5) if pane else (0.4, 0.48, 0.56)
    step, draw = width / 3, ImageDraw.Draw(picture)
    for row in range(max(1, int(height / (step * 1.5)))):
        for column in range(3):
            x, y = left + (column + 0.28) * step, top + (row * 1.4 + 0.35) * step
            draw.rectangle(
                (x, y, x + step * 0.45, y + step * 0.7),
                fill=rgb(glass),
                outline=rgb(frame),
                width=2,
            )
