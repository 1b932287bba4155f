"""The drawn sample's backdrops, none of them a class: sky, meadow, sea, beach, street, yard, room.

Each scene fills a picture and returns its `Stage`: where objects may stand, float and fly.
Sizes in pixels are those of a picture of about 480 x 360.
"""

import collections

import numpy as np
from PIL import Image, ImageDraw

from pen import any_paint, hsv, mix, oval, paint, rgb, soft_paint
from scenery import dabs, house, ridge, sky, tree, wash

# stand, float: rows, far and near, of feet on the ground and of keels on water, as shares of the
# height, or None; water: its colour; open: there is sky to fly in
Stage = collections.namedtuple("Stage", "stand float water open")

# colours of the sky's top, of the sky's foot and of clouds; grade: factors of the whole picture.
# In order: day, a warm morning, dusk, overcast, moonlight.
Mood = collections.namedtuple("Mood", "top foot grade cloud")
MOODS = (
    Mood((0.30, 0.55, 0.85), (0.75, 0.88, 0.95), (1.0, 1.0, 1.0), (1.0, 0.99, 0.97)),
    Mood((0.16, 0.44, 0.78), (0.98, 0.90, 0.74), (1.04, 1.0, 0.92), (1.0, 0.96, 0.90)),
    Mood((0.36, 0.30, 0.56), (0.99, 0.63, 0.42), (1.0, 0.84, 0.80), (0.98, 0.72, 0.62)),
    Mood((0.60, 0.65, 0.70), (0.83, 0.85, 0.85), (0.90, 0.94, 0.98), (0.92, 0.93, 0.95)),
    Mood((0.20, 0.26, 0.45), (0.55, 0.55, 0.68), (0.72, 0.78, 0.95), (0.55, 0.58, 0.72)),
)


def meadow(picture, rng, mood):
    sky(picture, rng, mood, 0.6)
    horizon, width, height = rng.uniform(0.32, 0.5), picture.width, picture.height
    green = hsv(rng.uniform(0.16, 0.33), rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.75))
    ridge(picture, rng, horizon - 0.04, 0.07, mix(mood.foot, green * 0.6, 0.4))
    ridge(picture, rng, horizon, 0.04, mix(mood.foot, green * 0.7, 0.75))
    for x in rng.uniform(0, width, rng.randint(0, 5)):
        tree(
            picture,
            rng,
            x,
            height * (horizon + 0.05),
            height * rng.uniform(0.12, 0.3),
            green * rng.uniform(0.6, 0.9),
        )
    wash(picture, rng, green, green * 0.8, rows=(horizon + 0.04, 1))
    dabs(
        picture,
        rng,
        (horizon + 0.05, 1.04),
        420,
        15,
        [green * 0.75, green * 1.12, green * 0.92, mix(green, (0.9, 0.8, 0.3), 0.3)],
        tilt=1.5,
        spread=0.35,
    )
    if rng.rand() < 0.6:
        dabs(
            picture,
            rng,
            (horizon + 0.1, 1),
            40,
            3,
            [hsv(rng.rand(), 0.5, 1.0), (1, 1, 0.95)],
            width=4,
        )
    return Stage((max(0.68, horizon + 0.14), 0.99), None, None, True)


def sea(picture, rng, mood):
    horizon = rng.uniform(0.34, 0.52)
    sky(picture, rng, mood, horizon + 0.02)
    water = mix(
        hsv(rng.uniform(0.47, 0.62), rng.uniform(0.35, 0.6), rng.uniform(0.45, 0.7)), mood.top, 0.25
    )
    if rng.rand() < 0.6:
        ridge(picture, rng, horizon, 0.06, mix(mood.foot, hsv(rng.rand() * 0.4, 0.3, 0.4), 0.5))
    wash(picture, rng, mix(water, mood.foot, 0.5), water * 0.8, rows=(horizon, 1), mottle=0.04)
    waves = [water * 0.82, water * 1.12, mix(water, mood.foot, 0.6), water * 0.95]
    dabs(picture, rng, (horizon + 0.01, 1), 260, 42, waves, spread=0.05)
    return Stage(None, (0.7, 0.95), water, True)


def quay(picture, rng, stage):
    """A wooden landing stage along the foot of a sea piece, for whatever does not swim."""
    width, height, edge = picture.width, picture.height, rng.uniform(0.74, 0.82)
    wood, draw = (
        hsv(rng.uniform(0.05, 0.11), rng.uniform(0.2, 0.45), rng.uniform(0.5, 0.75)),
        ImageDraw.Draw(picture),
    )
    for x in np.arange(rng.uniform(0, 60), width, 95):
        draw.rectangle((x, (edge - 0.07) * height, x + 15, edge * height), fill=rgb(wood * 0.6))
    wash(picture, rng, wood, wood * 0.9, rows=(edge, 1))
    for share in (0.0, 0.16, 0.38, 0.66):
        y = (edge + (1 - edge) * share) * height
        draw.line((0, y, width, y), fill=rgb(wood * 0.6), width=3)
    dabs(picture, rng, (edge + 0.01, 1), 90, 70, [wood * 0.85, wood * 1.1], spread=0.01)
    return stage._replace(stand=(edge + 0.06, 0.98), float=(edge - 0.12, edge - 0.02))


def lap(picture, labels, rng, foot, size, water):
    """Water that laps over a boat's keel: the hull ends in ripples, in picture and labels."""
    t = np.linspace(-1, 1, 22)
    crest = -0.025 - 0.012 * np.sin(t * 16 + rng.uniform(0, 6))
    ripple = np.stack(
        [np.concatenate([t, t[::-1]]) * 0.62, np.concatenate([crest, 0.13 * np.sqrt(1 - t**2)])], 1
    )
    dots = foot + size * ripple
    paint(picture, dots, water * 0.8)
    soft_paint(picture, dots, water * 0.6, 0.6, blur=0.03 * size)
    ImageDraw.Draw(labels).polygon([tuple(dot) for dot in dots.tolist()], fill=0)
    draw = ImageDraw.Draw(picture)
    for x, y in rng.uniform((-0.6, -0.01), (0.45, 0.11), (14, 2)) * size + foot:
        draw.line(
            (x, y, x + 0.12 * size, y),
            fill=rgb(mix(water, (1, 1, 1), rng.choice([0.1, 0.5]))),
            width=2,
        )


def beach(picture, rng, mood):
    horizon, shore = rng.uniform(0.25, 0.38), rng.uniform(0.44, 0.56)
    sky(picture, rng, mood, horizon + 0.02)
    water = mix(hsv(rng.uniform(0.47, 0.58), 0.5, 0.68), mood.top, 0.25)
    wash(picture, rng, mix(water, mood.foot, 0.4), water, rows=(horizon, 1))
    dabs(
        picture,
        rng,
        (horizon + 0.01, shore),
        70,
        40,
        [water * 0.85, mix(water, (1, 1, 1), 0.3)],
        spread=0.04,
    )
    sand = hsv(rng.uniform(0.07, 0.13), rng.uniform(0.2, 0.42), rng.uniform(0.75, 0.92))
    ridge(picture, rng, shore - 0.015, 0.015, (0.95, 0.97, 0.97))
    ridge(picture, rng, shore + 0.01, 0.015, sand, shade=0.12)
    dabs(
        picture, rng, (shore + 0.06, 1), 330, 7, [sand * 0.86, sand * 1.08, sand * 0.93], spread=0.4
    )
    for _ in range(rng.randint(0, 6)):
        at, reach = rng.uniform((0, shore + 0.08), (1, 1)) * picture.size, rng.uniform(5, 16)
        paint(picture, oval(*at, reach * 1.4, reach, 11), hsv(rng.rand(), 0.1, 0.6), shade=0.3)
    return Stage((max(0.7, shore + 0.14), 0.99), None, None, True)


def street(picture, rng, mood):
    kerb, width, height = rng.uniform(0.5, 0.62), picture.width, picture.height
    sky(picture, rng, mood, kerb)
    left = -rng.uniform(0, 80)
    while left < width:
        wide = rng.uniform(0.2, 0.42) * width
        house(picture, rng, left, kerb * height, wide, height * rng.uniform(0.22, 0.42))
        left += wide + rng.choice([0, 0, 30])
    for x in rng.uniform(0, width, rng.randint(0, 3)):
        tree(
            picture,
            rng,
            x,
            height * (kerb + 0.02),
            height * 0.35,
            hsv(rng.uniform(0.1, 0.35), 0.5, 0.6),
        )
    stone, tar = (
        hsv(rng.rand(), 0.06, 0.72),
        hsv(rng.uniform(0.55, 0.75), 0.1, rng.uniform(0.32, 0.5)),
    )
    wash(picture, rng, stone, stone * 0.9, rows=(kerb, kerb + 0.1), mottle=0.02)
    wash(picture, rng, tar * 1.1, tar * 0.9, rows=(kerb + 0.1, 1), mottle=0.03)
    dabs(picture, rng, (kerb + 0.11, 1), 260, 8, [tar * 0.88, tar * 1.12], spread=0.3)
    y = (kerb + 1) / 2 * height + 12
    for x in np.arange(rng.uniform(-60, 0), width, 110):
        paint(
            picture,
            np.array([(x, y), (x + 52, y), (x + 44, y + 9), (x - 10, y + 9)]),
            (0.9, 0.88, 0.8),
        )
    return Stage((kerb + 0.1, 0.98), None, None, True)


def yard(picture, rng, mood):
    foot, width, height = rng.uniform(0.5, 0.68), picture.width, picture.height
    clay = hsv(rng.uniform(0.0, 0.12), rng.uniform(0.15, 0.55), rng.uniform(0.5, 0.85))
    wash(picture, rng, clay * 0.8, clay * 0.72, rows=(0, foot))
    draw, tall, wide = ImageDraw.Draw(picture), rng.randint(15, 24), rng.randint(34, 56)
    for row, y in enumerate(np.arange(0, foot * height - 4, tall)):
        for x in np.arange(-wide * (row % 2) / 2, width, wide):
            tone = clay * rng.uniform(0.86, 1.1)
            draw.rectangle(
                (x + 1, y + 1, x + wide - 2, min(y + tall - 2, foot * height)), fill=rgb(tone)
            )
    slab = hsv(rng.rand(), 0.08, rng.uniform(0.55, 0.8))
    wash(picture, rng, slab * 0.85, slab, rows=(foot, 1), mottle=0.03)
    for x in np.linspace(-1.5, 2.5, 14):
        draw.line(
            (width * (0.5 + (x - 0.5) * 0.6), foot * height, width * x, height),
            fill=rgb(slab * 0.8),
            width=2,
        )
    for t in (0.12, 0.35, 0.7):
        y = (foot + (1 - foot) * t) * height
        draw.line((0, y, width, y), fill=rgb(slab * 0.8), width=2)
    dabs(picture, rng, (foot, 1), 160, 7, [slab * 0.9, slab * 1.06], spread=0.5)
    return Stage((foot + 0.1, 0.98), None, None, False)


def room(picture, rng, mood):
    edge, width, height = rng.uniform(0.5, 0.68), picture.width, picture.height
    paper = mix(any_paint(rng), (0.95, 0.92, 0.85), 0.55)
    wash(picture, rng, paper * 0.95, paper, rows=(0, edge), mottle=0.02)
    _wallpaper(picture, rng, paper, edge * height)
    if rng.rand() < 0.5:
        _window(picture, rng, mood, edge)
    wood = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.85))
    wash(picture, rng, wood * 0.9, wood * 1.05, rows=(edge, 1), mottle=0.04)
    dabs(
        picture,
        rng,
        (edge + 0.02, 1),
        150,
        120,
        [wood * 0.84, wood * 1.1, wood * 0.92],
        spread=0.012,
    )
    ImageDraw.Draw(picture).rectangle(
        (0, edge * height, width, edge * height + 5), fill=rgb(wood * 1.2)
    )
    return Stage((edge + 0.1, 0.98), None, None, False)


def _wallpaper(picture, rng, paper, foot):
    ink, draw, step = (
        mix(paper, any_paint(rng), 0.35),
        ImageDraw.Draw(picture),
        int(rng.randint(26, 52)),
    )
    kind = rng.randint(3)
    for column, x in enumerate(range(0, picture.width, step)):
        if kind == 0:
            draw.rectangle((x, 0, x + step // 2, foot), fill=rgb(ink))
            continue
        for y in np.arange(step / 2 * (column % 2), foot - 8, step):
            spots = [(0, 0, 6)] if kind == 1 else [(0, -6, 4), (6, 0, 4), (0, 6, 4), (-6, 0, 4)]
            for dx, dy, r in spots:
                draw.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=rgb(ink))


def _window(picture, rng, mood, edge):
    wide, high = picture.width * rng.uniform(0.25, 0.4), picture.height * edge * 0.66
    left, top = rng.uniform(0.05, 0.6) * picture.width, picture.height * edge * 0.08
    view = Image.new("RGB", (int(wide), int(high)))
    sky(view, rng, mood)
    ridge(view, rng, 0.75, 0.1, hsv(rng.uniform(0.15, 0.4), 0.4, 0.5))
    picture.paste(view, (int(left), int(top)))
    draw = ImageDraw.Draw(picture)
    for x in (left, left + wide / 2, left + wide):
        draw.rectangle((x - 4, top - 4, x + 4, top + high + 4), fill=(244, 240, 230))
    for y in (top, top + high):
        draw.rectangle((left - 8, y - 5, left + wide + 8, y + 5), fill=(236, 230, 218))


def heights(picture, rng, mood):
    """High up: clouds above far hills and one near one."""
    sky(picture, rng, mood)
    green = hsv(rng.uniform(0.1, 0.4), rng.uniform(0.25, 0.5), rng.uniform(0.45, 0.75))
    for level, share in ((0.74, 0.35), (0.81, 0.65), (0.87, 1.0)):
        ridge(picture, rng, level, 0.04, mix(mood.foot, green, share), shade=0.1)
    dabs(picture, rng, (0.91, 1.03), 160, 13, [green * 0.8, green * 1.1], tilt=1.5, spread=0.35)
    return Stage((0.93, 1.0), None, None, True)


SCENES = {
    "meadow": meadow,
    "sea": sea,
    "beach": beach,
    "street": street,
    "yard": yard,
    "room": room,
    "heights": heights,
}
