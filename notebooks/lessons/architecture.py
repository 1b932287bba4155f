"""DeepLabv3+ as a drawing with the sizes of its maps, for notebook 02."""

from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import Counter, Map
from deeplab_nb.network.head import DEPTH, LOW_LEVEL_DEPTH
from deeplab_nb.settings import override

COLOURS = {
    "image": "#f3ead2",
    "backbone": "#c9dcec",
    "ASPP": "#8fb3d4",
    "decoder": "#f5c99b",
    "join": "#ffffff",
}


def draw(settings, size=513):
    """The network of the settings from the image to the labels, as a Figure.

    What DeepLabv3+ has and these settings leave out has a dashed edge.
    """
    whole = override(settings, {"aspp": True, "decoder": True})
    figure = Figure(figsize=(11, 5.2))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set(xlim=(0, 110), ylim=(0, 52))
    axes.axis("off")
    axes.set_title(_title(settings, size), fontsize=12, y=0.93)
    _regions(axes)
    _encoder(axes, settings, *_maps(whole, size))
    _decoder(axes, settings, *_maps(whole, size))
    figure.set_label(
        "boxes and arrows: image, backbone, five branches of ASPP joined, then the decoder with "
        "low-level features and bilinear upsampling, each with the size of its map"
    )
    return figure


def _title(settings, size):
    names = {True: "DeepLabv3+", False: "DeepLabv3"}
    return (
        f"{names[settings.decoder]} with {settings.backbone}, image {size} x {size}, "
        f"output stride {settings.output_stride}"
    )


def _maps(settings, size):
    """`(features, low, classes, size)`: the texts of the maps' sizes, by the layers themselves."""
    maps = deeplab.backbone(Counter(), Map((1, size, size, 3)), settings)
    texts = (f"{m.shape[1]} x {m.shape[2]} x {m.shape[3]}" for m in maps)
    return (*texts, settings.num_classes, size)


def _regions(axes):
    for left, bottom, width, height, name in (
        (1, 25, 108, 21, "encoder"),
        (33, 1, 76, 22, "decoder"),
    ):
        box = patches.FancyBboxPatch(
            (left, bottom),
            width,
            height,
            boxstyle="round,pad=0.3",
            fc="#f7f7f7",
            ec="#bbb",
            zorder=0,
        )
        axes.add_patch(box)
        corner = left + width - 1, bottom + height - 2
        axes.text(*corner, name, fontsize=11, style="italic", va="center", ha="right")


def _encoder(axes, settings, high, low, classes, size):
    """Image, backbone, the branches of ASPP, and what joins them."""
    side = high.rsplit(" x ", 1)[0]
    _box(axes, 3, 33, 13, 7, f"image\n{size} x {size} x 3", "image")
    _box(axes, 21, 31, 17, 11, f"{settings.backbone}\nfeatures\n{high}", "backbone")
    _arrow(axes, (16, 36.5), (21, 36.5))
    rates = override(settings, {"aspp": True}).rates_at(settings.output_stride)
    names = ["1 x 1"] + [f"3 x 3, rate {rate}" for rate in rates] + ["image pooling"]
    for row, name in enumerate(names):
        bottom = 41.2 - 3.7 * row
        left_out = "rate" in name and not settings.aspp
        _box(axes, 48, bottom, 18, 3, name, "ASPP", dashed=left_out)
        _arrow(axes, (38, 36.5), (48, bottom + 1.5), dashed=left_out)
        _arrow(axes, (66, bottom + 1.5), (73, 36.5), dashed=left_out)
    _box(axes, 73, 33, 10, 7, "join the\nchannels", "join")
    _box(axes, 88, 33, 18, 7, f"1 x 1\n{side} x {DEPTH}", "ASPP")
    _arrow(axes, (83, 36.5), (88, 36.5))


def _decoder(axes, settings, high, low, classes, size):
    """Low-level features, upsampling, two convolutions, and scores for each pixel."""
    dashed, side = not settings.decoder, low.rsplit(" x ", 1)[0]
    _box(axes, 36, 12, 17, 8, f"low-level features\n{low}", "backbone", dashed)
    _arrow(axes, (29.5, 31), (36, 16), dashed)
    _box(axes, 57, 12, 13, 8, f"1 x 1\n{side} x {LOW_LEVEL_DEPTH}", "decoder", dashed)
    _arrow(axes, (53, 16), (57, 16), dashed)
    _box(axes, 88, 12, 18, 8, f"bilinear upsampling\n{side} x {DEPTH}", "decoder", dashed)
    _arrow(axes, (97, 33), (97, 20), dashed)
    _box(axes, 74, 13, 10, 6, "join the\nchannels", "join", dashed)
    _arrow(axes, (70, 16), (74, 16), dashed)
    _arrow(axes, (88, 16), (84, 16), dashed)
    _box(axes, 74, 3, 16, 6, f"two times 3 x 3\n{side} x {DEPTH}", "decoder", dashed)
    _arrow(axes, (79, 13), (79, 9), dashed)
    scores = side if settings.decoder else high.rsplit(" x ", 1)[0]
    _box(axes, 55, 3, 15, 6, f"1 x 1: logits\n{scores} x {classes}", "decoder")
    _arrow(axes, (74, 6), (70, 6), dashed)
    _box(axes, 35, 3, 16, 6, f"bilinear upsampling\n{size} x {size} x {classes}", "decoder")
    _arrow(axes, (55, 6), (51, 6))
    if dashed:
        _arrow(axes, (92, 33), (64, 9), bend=-0.15)


def _box(axes, left, bottom, width, height, text, kind, dashed=False):
    axes.add_patch(
        patches.Rectangle(
            (left, bottom),
            width,
            height,
            facecolor=COLOURS[kind],
            edgecolor="#333333",
            linestyle="--" if dashed else "-",
            alpha=0.45 if dashed else 1,
        )
    )
    axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=9)


def _arrow(axes, start, end, dashed=False, bend=0):
    """Below the boxes that it passes."""
    style = dict(
        arrowstyle="->",
        color="#333333",
        linestyle="--" if dashed else "-",
        connectionstyle=f"arc3,rad={bend}",
    )
    axes.annotate("", end, start, arrowprops=style, zorder=0.5)
