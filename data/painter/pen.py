"""The drawn sample's brushes: a pen that paints picture and labels with one outline, and colours.

The mask is exact by construction: what is solid in the picture is set in the labels by the same
points.
"""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LIGHT = (-0.55, -0.85)  # towards the light, in picture axes: from the upper left


class Pen:
    """Paints shapes given in an object's units.

    picture: RGB image; labels: image of mode L that receives `label` wherever the object is solid.
    foot: pixel of the object's (0, 0); size: pixels a unit; angle: degrees, anticlockwise;
    grounded: stands on the ground, so throws a shadow there.
    """

    def __init__(self, picture, labels, *, label, foot, size, angle=0.0, flip=False, grounded=True):
        self.picture, self.label = picture, label
        self.draw, self.mark = ImageDraw.Draw(picture), ImageDraw.Draw(labels)
        self.foot, self.size, self.grounded = np.asarray(foot, float), size, grounded
        turn = np.deg2rad(angle)
        self.axes = size * np.array([[np.cos(turn), -np.sin(turn)], [-np.sin(turn), -np.cos(turn)]])
        self.axes[:, 0] *= -1 if flip else 1

    def pixels(self, points):
        return np.asarray(points, float) @ self.axes.T + self.foot

    def shape(self, points, colour, *, shade=0.2, alpha=1.0, solid=True):
        """A filled outline, lit from LIGHT: `shade` is the relative change from middle to edge."""
        dots = self.pixels(points)
        if solid:
            self.mark.polygon(_flat(dots), fill=self.label)
        if shade or alpha < 1:
            paint(self.picture, dots, colour, shade=shade, alpha=alpha)
        else:
            self.draw.polygon(_flat(dots), fill=rgb(colour))

    def line(self, points, width, colour, *, solid=True):
        """An open stroke; `width` in units."""
        dots, width = _flat(self.pixels(points)), max(2, int(round(width * self.size)))
        self.draw.line(dots, fill=rgb(colour), width=width, joint="curve")
        if solid:
            self.mark.line(dots, fill=self.label, width=width, joint="curve")

    def strokes(self, starts, ends, width, colour):
        """Many loose strokes that belong to a shape already painted."""
        fill, width = rgb(colour), max(1, int(round(width * self.size)))
        for start, end in zip(_flat(self.pixels(starts)), _flat(self.pixels(ends))):
            self.draw.line((start, end), fill=fill, width=width)

    def shadow(self, left, right, depth=0.07, strength=0.45):
        """A soft shadow on the ground between x = left and right; paint it before the object."""
        if not self.grounded:
            return
        dots = self.pixels(oval((left + right) / 2 + 0.04, -0.01, (right - left) / 2, depth))
        soft_paint(self.picture, dots, (0.13, 0.12, 0.2), strength, blur=0.03 * self.size)


def paint(picture, dots, colour, *, shade=0.0, alpha=1.0):
    """Fills the pixel outline `dots` [n, 2] with a colour that falls off away from the light."""
    low, high = dots.min(0), dots.max(0)
    area = np.array([*np.maximum(low, 0), *np.minimum(high + 1, picture.size)]).astype(int)
    if (area[2:] <= area[:2]).any():
        return
    if alpha == 1.0 and (shade == 0.0 or (high - low).max() < 12):
        ImageDraw.Draw(picture).polygon(_flat(dots), fill=rgb(colour))
        return
    stencil = Image.new("L", tuple(area[2:] - area[:2]))
    ImageDraw.Draw(stencil).polygon(_flat(dots - area[:2]), fill=int(255 * alpha))
    picture.paste(_lit(colour, shade, low, high, area), tuple(area[:2]), stencil)


def soft_paint(picture, dots, colour, alpha, *, blur):
    """The same outline with a soft edge; drawn at a quarter of the size, for it is blurred."""
    margin = 3 * blur + 4
    area = np.array(
        [*np.maximum(dots.min(0) - margin, 0), *np.minimum(dots.max(0) + margin, picture.size)]
    ).astype(int)
    width, height = area[2:] - area[:2]
    if width < 4 or height < 4:
        return
    stencil = Image.new("L", (width // 4 + 1, height // 4 + 1))
    ImageDraw.Draw(stencil).polygon(_flat((dots - area[:2]) / 4), fill=int(255 * alpha))
    stencil = stencil.filter(ImageFilter.GaussianBlur(float(blur) / 4)).resize(
        (width, height), Image.BILINEAR
    )
    picture.paste(rgb(colour), tuple(area), stencil)


def _lit(colour, shade, low, high, area):
    """Light falls warm and shadow cool, as gouache mixes them."""
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1)
    along = np.arange(12)[:, None] / 11 * (area[2:] - area[:2]) + area[:2]
    x, y = ((along - middle) / half * LIGHT).T
    amount = np.tanh(1.2 * (x[None] + y[:, None]))[..., None] * shade
    tone = np.asarray(colour) * (1 + amount) + amount * np.array([0.10, 0.05, -0.03])
    return Image.fromarray((255 * tone.clip(0, 1)).astype(np.uint8)).resize(
        tuple(area[2:] - area[:2]), Image.BILINEAR
    )


def _flat(dots):
    return list(map(tuple, dots.tolist()))


def rgb(colour):
    red, green, blue = colour
    return (
        int(255 * min(1, max(0, red))),
        int(255 * min(1, max(0, green))),
        int(255 * min(1, max(0, blue))),
    )


def hsv(hue, saturation, value):
    return np.array(colorsys.hsv_to_rgb(hue % 1, min(1, max(0, saturation)), min(1, max(0, value))))


def mix(one, other, share):
    return np.asarray(one) * (1 - share) + np.asarray(other) * share


# a gouache box, in hue, saturation, value: vermilion, coral, orange, mustard, olive, leaf, mint,
# teal, sky, cobalt, navy, plum, rose, brick, cream, white, grey, charcoal
PAINTS = (
    (0.01, 0.78, 0.82),
    (0.02, 0.55, 0.93),
    (0.07, 0.72, 0.93),
    (0.12, 0.68, 0.9),
    (0.17, 0.55, 0.58),
    (0.3, 0.5, 0.58),
    (0.42, 0.35, 0.82),
    (0.49, 0.6, 0.55),
    (0.55, 0.42, 0.86),
    (0.6, 0.68, 0.72),
    (0.62, 0.6, 0.38),
    (0.85, 0.4, 0.5),
    (0.95, 0.35, 0.88),
    (0.03, 0.6, 0.55),
    (0.11, 0.2, 0.94),
    (0.12, 0.04, 0.96),
    (0.58, 0.08, 0.6),
    (0.65, 0.15, 0.24),
)


def any_paint(rng):
    """Any colour that a car, a hull, a pot or a cap may be painted in."""
    hue, saturation, value = PAINTS[rng.randint(len(PAINTS))]
    return hsv(
        hue + rng.normal(0, 0.015),
        saturation * rng.uniform(0.8, 1.15),
        value * rng.uniform(0.85, 1.08),
    )


def oval(x, y, across, up, count=28, turn=0.0):
    angle = np.arange(count) * (2 * np.pi / count)
    dots = np.stack([across * np.cos(angle), up * np.sin(angle)], 1)
    cos, sin = np.cos(turn), np.sin(turn)
    return dots @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def box(left, bottom, right, top):
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def curve(points, steps=6):
    """A smooth closed outline through `points` (Catmull-Rom)."""
    at = np.asarray(points, float)
    before, after, beyond = np.roll(at, 1, 0), np.roll(at, -1, 0), np.roll(at, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p, a, b, c = (part[:, None] for part in (before, at, after, beyond))
    dots = (
        a
        + t / 2 * (b - p)
        + t**2 * (p - 2.5 * a + 2 * b - c / 2)
        + t**3 * (1.5 * (a - b) + (c - p) / 2)
    )
    return dots.reshape(-1, 2)
