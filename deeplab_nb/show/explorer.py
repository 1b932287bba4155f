"""What the explorer shows for what its reader has chosen: plain functions, to which `controls.py` binds widgets.

Nothing here knows of a browser, so that the same view is a picture in a headless run.
"""
import collections
import dataclasses
import io
import os
from typing import Optional

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.data.audit import in_threads
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import fit, protocol_of, read_pair
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.settings import SIX_SCALES
from deeplab_nb.show import plots
from deeplab_nb.show.palettes import PALETTES

ORDERS = ("worst first", "as listed", "with the chosen class", "your photographs")
KEPT = 4  # networks, and predictions, held at a time; a step back to an earlier choice is then free

# borders drawn on the photograph, and of both where they agree; far apart for every kind of eye
BORDER_COLOURS = {"predicted": (255, 160, 0), "mask": (0, 60, 255), "both": (255, 255, 255)}


@dataclasses.dataclass(frozen=True)
class View:
    """What a reader has chosen. class_id: None shows all classes."""
    image_id: str
    output_stride: int
    all_scales: bool = False
    flip: bool = False
    class_id: Optional[int] = None
    strength: float = 0.6
    palette: str = "VOC"

    @property
    def method(self):
        """What the prediction depends on, beside the photograph."""
        return self.output_stride, self.all_scales, self.flip


class Explorer:
    """A trained network and its evaluation list, ready for any `View`; use it in a `with` block or `close` it.

    settings, checkpoint: as for `Predictor`; image_miou: {image id: mean IoU} of the list, in its order.
    engine: as for `Predictor`. Raises WorkbookError where data or checkpoint are missing.
    """

    def __init__(self, settings, checkpoint, image_miou, *, engine="auto"):
        self.settings, self._checkpoint, self._engine = settings, checkpoint, engine
        self.image_miou = image_miou
        self._root = voc.check_root(settings.data_root)
        self.names = voc.class_names(settings.num_classes, self._root)
        self._longest = max(max(voc.image_size(voc.image_path(self._root, i))) for i in image_miou)
        self._scales = SIX_SCALES if settings.eval_scales == (1.0,) else settings.eval_scales
        self._own = collections.OrderedDict()  # the reader's photographs
        self._shown_in = None  # {image id: class ids of its mask}, read when first asked for
        self._networks, self._maps = collections.OrderedDict(), collections.OrderedDict()

    # --- what there is to choose from

    def first_view(self):
        """The list's worst image, seen as the run's settings see it."""
        settings = self.settings
        return View(self.ids(ORDERS[0])[0], settings.eval_output_stride, all_scales=settings.eval_scales != (1.0,), flip=settings.eval_flip)

    def ids(self, order, class_id=None):
        """Image ids in one of ORDERS. Raises WorkbookError where there are none."""
        listed = list(self.image_miou)
        found = {"worst first": lambda: sorted(listed, key=self.image_miou.get), "as listed": lambda: listed,
                 "with the chosen class": lambda: self._with_class(class_id), "your photographs": lambda: list(self._own)}[order]()
        if not found:
            raise WorkbookError("there is no image '{}'{}: choose another order{}".format(
                order, "" if class_id is None else ", {}".format(self.names[class_id]),
                " or upload a photograph" if order == "your photographs" else " or class"))
        return found

    def _with_class(self, class_id):
        """Images whose masks show a class, the worst first."""
        if class_id is None:
            raise WorkbookError("no class is chosen: choose one in place of 'all classes'")
        if self._shown_in is None:
            listed = list(self.image_miou)
            masks = in_threads(lambda i: np.unique(voc.read_mask(voc.mask_path(self._root, i))[0]), listed, label="reading masks")
            self._shown_in = dict(zip(listed, masks))
        return [i for i in self.ids("worst first") if class_id in self._shown_in[i]]

    def add_photograph(self, name, content):
        """The id under which a photograph of the reader can be viewed from now on. content: bytes of a picture file.

        It is brought to the size of the list's photographs, for a network knows things of the size it learned.
        Raises WorkbookError for what is no picture.
        """
        try:
            with Image.open(io.BytesIO(content)) as image:
                image = ImageOps.exif_transpose(image).convert("RGB")  # cameras store how they were held
        except Exception:  # Pillow's decoders raise many kinds, and name a buffer where a reader looks for a file
            raise WorkbookError("{} cannot be read as a picture: choose a JPEG or PNG file".format(name))
        image.thumbnail((self._longest, self._longest), Image.BICUBIC)
        image_id = "your {}".format(os.path.basename(name))
        for key in [key for key in self._maps if key[0] == image_id]:
            del self._maps[key]
        self._own[image_id] = np.asarray(image)
        return image_id

    # --- what a view shows

    def photograph(self, view):
        """(photograph uint8 [h, w, 3], mask uint8 [h, w] or None for one of the reader's own), as the protocol crops them."""
        if view.image_id in self._own:
            return self._own[view.image_id], None
        if view.image_id not in self.image_miou:
            raise WorkbookError("image '{}' is not of the list {}: choose another".format(view.image_id, self.settings.val_list))
        crop = self._protocol(view).crop
        return tuple(fit(part, crop) for part in read_pair(self._root, view.image_id, self.settings))

    def probabilities(self, view):
        """Of each class in each pixel, float32 [h, w, num_classes]."""
        return _kept(self._maps, (view.image_id,) + view.method, lambda: self._predict(view))

    def _predict(self, view):
        image, truth = self.photograph(view)
        frame = None if truth is None else self._protocol(view).frame(truth.shape)
        return _kept(self._networks, view.method, lambda: self._network(view)).probabilities(image, frame)

    def _network(self, view):
        return Predictor(self._settings(view), self._checkpoint, engine=self._engine)

    def _settings(self, view):
        return settings_module.override(self.settings, {
            "eval_output_stride": view.output_stride, "eval_flip": view.flip,
            "eval_scales": self._scales if view.all_scales else (1.0,)})

    def _protocol(self, view):
        return protocol_of(self._settings(view), self._longest)

    def panels(self, view):
        """[(caption, picture)] of a view: six, or the four that need no mask for a photograph of the reader's own."""
        (image, truth), maps = self.photograph(view), self.probabilities(view)
        labels, colours = maps.argmax(axis=2).astype(np.uint8), PALETTES[view.palette]()
        shown = [("photograph", image), ("prediction", plots.overlay(image, self._filtered(labels, view), view.strength, colours))]
        if truth is not None:
            shown.append(("mask", plots.overlay(image, self._filtered(truth, view), view.strength, colours)))
            shown.append(("wrong pixels, red", plots.error_map(labels, truth, self.settings.ignore_label)))
        caption = "how sure the network is" if view.class_id is None else "probability of " + self.names[view.class_id]
        shown.append((caption, maps.max(axis=2) if view.class_id is None else maps[..., view.class_id]))
        return shown + [("borders: predicted orange" + ("" if truth is None else ", mask blue"),
                         borders(image, labels, truth))]

    def _filtered(self, labels, view):
        """All classes, or the chosen one alone."""
        return labels if view.class_id is None else np.where(labels == view.class_id, labels, 0)

    def figure(self, view):
        """The panels of a view in two rows, above the names of the classes seen."""
        figure = _two_rows(self.panels(view))
        truth, predicted = self.photograph(view)[1], self.probabilities(view).argmax(axis=2)
        seen = set(np.unique(predicted)) | set(() if truth is None else np.unique(truth))
        plots.add_legend(figure, seen, self.names, self.settings.ignore_label, palette=PALETTES[view.palette]())
        return figure

    def in_words(self, view):
        """What the picture of a view shows, for those who do not see it."""
        truth, labels = self.photograph(view)[1], self.probabilities(view).argmax(axis=2)
        shares = np.bincount(labels.ravel()) / labels.size
        found = ", ".join("{} {:.0%}".format(self.names[i], shares[i]) for i in np.argsort(-shares) if shares[i] > 0)
        score = "no mask to compare with" if truth is None else "mean IoU {:.3f}".format(self.miou(view))
        return "{}, {}: {} at output stride {}{}{}; predicted: {}".format(
            view.image_id, score, "{} scales".format(len(self._scales)) if view.all_scales else "one scale", view.output_stride,
            ", mirrored too" if view.flip else "", self._engine_of(view), found)

    def _engine_of(self, view):
        return ", by " + self._networks[view.method].engine if view.method in self._networks else ""

    def miou(self, view):
        """Mean IoU of the view's image alone."""
        labels, truth = self.probabilities(view).argmax(axis=2), self.photograph(view)[1]
        classes = {"num_classes": self.settings.num_classes, "ignore_label": self.settings.ignore_label}
        return Scores(confusion_matrix(truth, labels, **classes)).mean_iou

    def picture(self, view):
        """The view as a `Picture`."""
        file = io.BytesIO()
        self.figure(view).savefig(file, format="png", dpi=72)
        return Picture(file.getvalue(), self.in_words(view))

    def close(self):
        for network in self._networks.values():
            network.close()
        self._networks.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Picture:
    """A PNG with words that stand for it, shown by Jupyter, nbviewer and GitHub alike."""

    def __init__(self, png, words):
        self.png, self.words = png, words

    def _repr_mimebundle_(self, **_):
        return {"image/png": self.png, "text/plain": self.words}, {"image/png": {"alt": self.words}}


def _two_rows(panels, width=3.1):
    """Pictures in two rows, with room for captions above and a legend below; faster than a layout that is solved for."""
    columns, (height, breadth) = -(-len(panels) // 2), panels[0][1].shape[:2]
    row = width * height / breadth + 0.3
    figure = Figure(figsize=(width * columns, 2 * row + 0.5))
    for place, (caption, picture) in enumerate(panels, start=1):
        axes = figure.add_subplot(2, columns, place)
        axes.imshow(picture, interpolation="nearest", cmap="cividis", vmin=0, vmax=1)  # a map equal for every kind of eye
        axes.set_title(caption, fontsize=10)
        axes.axis("off")
    figure.subplots_adjust(left=0.005, right=0.995, top=1 - 0.3 / (2 * row + 0.5), bottom=0.5 / (2 * row + 0.5),
                           wspace=0.02, hspace=0.3 / row)
    return figure


def borders(image, labels, truth=None):
    """The photograph, paler, with the borders of predicted classes and of the mask's in BORDER_COLOURS: uint8 [h, w, 3].

    A border is a pixel whose right or lower neighbour has another class. Where the mask is void lies its own
    border, so that the band is drawn by its edge to either side.
    """
    picture = (image // 2 + 64).astype(np.uint8)
    predicted = _edges(labels)
    picture[predicted] = BORDER_COLOURS["predicted"]
    if truth is not None:
        masked = _edges(truth)
        picture[masked] = BORDER_COLOURS["mask"]
        picture[predicted & masked] = BORDER_COLOURS["both"]
    return picture


def _edges(labels):
    """Where a pixel differs from its right or lower neighbour, bool [h, w]."""
    found = np.zeros(labels.shape, bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def _kept(store, key, make):
    """What is stored under a key, made if missing; of more than KEPT the one longest unused goes, closed if it can be."""
    if key not in store:
        made = make()
        store[key] = made
        if len(store) > KEPT:
            _, oldest = store.popitem(last=False)
            getattr(oldest, "close", lambda: None)()
    store.move_to_end(key)
    return store[key]
