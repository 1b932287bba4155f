"""What the explorer shows for what its reader has chosen; `controls.py` binds widgets to it.

Nothing here knows of a browser, so that the same view is a picture in a headless run.
"""

import collections
import dataclasses
import functools
import io
import os
from typing import Optional

import numpy as np
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data import pictures, voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import common_side, fit, protocol_of, read_pair, sides_of
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.evaluation.tiles import shrunk
from deeplab_nb.progress import in_threads
from deeplab_nb.settings import SIX_SCALES, crop_for
from deeplab_nb.show import plots

ORDERS = ("worst first", "as listed", "with the chosen class", "your photographs")
KEPT = 4  # networks, and predictions, held at a time; a step back to an earlier one is then free

# image: photograph uint8 [h, w, 3]; truth: its mask uint8 [h, w] or None; maps: probabilities
# float32 [h, w, num_classes]; labels: their largest, uint8 [h, w]
_Seen = collections.namedtuple("_Seen", "image truth maps labels")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG with words that stand for it, shown by Jupyter, nbviewer and GitHub alike.

    No tuple: IPython would print one with all of its bytes.
    """

    png: bytes
    words: str

    def _repr_mimebundle_(self, **_):
        data = {"image/png": self.png, "text/plain": self.words}
        return data, {"image/png": {"alt": self.words}}


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
    """A trained network and its evaluation list, ready for any `View`; close it at the end.

    settings, checkpoint: as for `Predictor`; image_miou: {image id: mean IoU} of the list, in its
    order. engine: as for `Predictor`. Raises WorkbookError where data or checkpoint are missing.
    """

    def __init__(self, settings, checkpoint, image_miou, *, engine="auto"):
        self.settings, self._checkpoint, self._engine = settings, checkpoint, engine
        self.image_miou = image_miou
        self._root = voc.check_root(settings.data_root)
        self.names = voc.class_names(settings.num_classes, self._root)
        self._longest = common_side(sides_of(self._root, image_miou))
        self._scales = SIX_SCALES if settings.eval_scales == (1.0,) else settings.eval_scales
        self._own = {}  # the reader's photographs
        self._shown_in = {}  # {image id: class ids of its mask}, read when first asked for
        self._networks = {}  # by method, the one longest unused first
        self._predicted = functools.lru_cache(maxsize=KEPT)(self._predict)

    # --- what there is to choose from

    def first_view(self):
        """The list's worst image, seen as the run's settings see it."""
        settings = self.settings
        return View(
            self.ids(ORDERS[0])[0],
            settings.eval_output_stride,
            all_scales=settings.eval_scales != (1.0,),
            flip=settings.eval_flip,
        )

    def ids(self, order, class_id=None):
        """Image ids in one of ORDERS. Raises WorkbookError where there are none."""
        found = {
            "worst first": lambda: sorted(self.image_miou, key=self.image_miou.get),
            "as listed": lambda: list(self.image_miou),
            "with the chosen class": lambda: self._with_class(class_id),
            "your photographs": lambda: list(self._own),
        }[order]()
        if not found:
            shown = "" if class_id is None else f", {self.names[class_id]}"
            other = "upload a photograph" if order == ORDERS[-1] else "class"
            raise WorkbookError(
                f"there is no image '{order}'{shown}: choose another order or {other}"
            )
        return found

    def _with_class(self, class_id):
        """Images whose masks show a class, the worst first."""
        if class_id is None:
            raise WorkbookError("no class is chosen: choose one in place of 'all classes'")
        if not self._shown_in:
            paths = [voc.mask_path(self._root, i) for i in self.image_miou]
            classes = in_threads(
                lambda path: np.unique(voc.read_mask(path)[0]), paths, label="reading masks"
            )
            self._shown_in = dict(zip(self.image_miou, classes))
        return [i for i in self.ids("worst first") if class_id in self._shown_in[i]]

    def add_photograph(self, name, content):
        """The id under which a photograph of the reader can be viewed from now on.

        content: bytes of a picture file. It is brought to the size of the list's photographs, for a
        network knows things of the size it learned. Raises WorkbookError for what is no picture.
        """
        try:
            image = pictures.read_image(content)
        except WorkbookError as error:
            raise WorkbookError(f"{name} cannot be read as a picture: {error}")
        image_id = f"your {os.path.basename(name)}"
        self._own[image_id] = shrunk(image, crop_for(self._longest))
        self._predicted.cache_clear()  # there may have been another of this name
        return image_id

    # --- what a view shows

    def photograph(self, view):
        """(photograph uint8 [h, w, 3], mask uint8 [h, w]), as the protocol crops them.

        The mask is None for a photograph of the reader's own.
        """
        if view.image_id in self._own:
            return self._own[view.image_id], None
        if view.image_id not in self.image_miou:
            raise WorkbookError(
                f"image '{view.image_id}' is not of the list "
                f"{self.settings.val_list}: choose another"
            )
        crop = self._protocol(view).crop
        pair = read_pair(self._root, view.image_id, self.settings)
        return tuple(fit(part, crop) for part in pair)

    def probabilities(self, view):
        """Of each class in each pixel, float32 [h, w, num_classes]."""
        return self._seen(view).maps

    def _seen(self, view):
        """The `_Seen` of a view, predicted once for all that differ in class or colours alone."""
        return self._predicted(View(view.image_id, *view.method))

    def _predict(self, view):
        image, truth = self.photograph(view)
        frame = None if truth is None else self._protocol(view).frame(truth.shape)
        maps = self._network(view).probabilities(image, frame)
        return _Seen(image, truth, maps, maps.argmax(axis=2).astype(np.uint8))

    def _network(self, view):
        """The `Predictor` of a view's method; of more than KEPT the one longest unused goes."""
        network = self._networks.pop(view.method, None)
        if not network:
            network = Predictor(self._settings(view), self._checkpoint, engine=self._engine)
        self._networks[view.method] = network
        if len(self._networks) > KEPT:
            self._networks.pop(next(iter(self._networks))).close()
        return network

    def _settings(self, view):
        return settings_module.override(
            self.settings,
            {
                "eval_output_stride": view.output_stride,
                "eval_flip": view.flip,
                "eval_scales": self._scales if view.all_scales else (1.0,),
            },
        )

    def _protocol(self, view):
        return protocol_of(self._settings(view), self._longest)

    def panels(self, view):
        """[(caption, picture)]: six, or the four that need no mask for one of the reader's own."""
        image, truth, maps, labels = self._seen(view)
        of_class = view.class_id is not None

        def over(ids):
            chosen = np.where(ids == view.class_id, ids, 0) if of_class else ids
            return plots.overlay(image, chosen, view.strength, plots.PALETTES[view.palette]())

        shown = [("photograph", image), ("prediction", over(labels))]
        if truth is not None:
            wrong = plots.error_map(labels, truth, self.settings.ignore_label)
            shown += [("mask", over(truth)), ("wrong pixels, red", wrong)]
        if of_class:
            name = self.names[view.class_id]
            shown.append((f"probability of {name}", maps[..., view.class_id]))
        else:
            shown.append(("how sure the network is", maps.max(axis=2)))
        caption = "borders: predicted orange" + ("" if truth is None else ", mask blue")
        return shown + [(caption, plots.borders(image, labels, truth))]

    def figure(self, view):
        """The panels of a view in two rows, above the names of the classes seen."""
        figure, seen = plots.two_rows(self.panels(view)), self._seen(view)
        plots.add_legend(
            figure,
            seen.labels,
            seen.truth,
            self.names,
            self.settings.ignore_label,
            palette=plots.PALETTES[view.palette](),
        )
        return figure

    def in_words(self, view):
        """What the picture of a view shows, for those who do not see it."""
        _, truth, _, labels = self._seen(view)
        found = plots.shares(labels, self.names)
        score = "no mask to compare with" if truth is None else f"mean IoU {self.miou(view):.3f}"
        how = f"{len(self._scales)} scales" if view.all_scales else "one scale"
        flip = ", flipped too" if view.flip else ""
        network = self._networks.get(view.method)
        engine = f", by {network.engine}" if network else ""
        return (
            f"{view.image_id}, {score}: {how} at output stride {view.output_stride}"
            f"{flip}{engine}; predicted: {found}"
        )

    def miou(self, view):
        """Mean IoU of the view's image alone."""
        _, truth, _, labels = self._seen(view)
        return Scores(
            confusion_matrix(
                truth,
                labels,
                num_classes=self.settings.num_classes,
                ignore_label=self.settings.ignore_label,
            )
        ).mean_iou

    def picture(self, view):
        """The view as a `Picture`."""
        drawn, file = io.BytesIO(), io.BytesIO()
        self.figure(view).savefig(drawn, format="png", dpi=72)
        Image.open(drawn).convert("RGB").save(file, "PNG", optimize=True)  # a tenth smaller
        return Picture(file.getvalue(), self.in_words(view))

    def close(self):
        for network in self._networks.values():
            network.close()
        self._networks.clear()
