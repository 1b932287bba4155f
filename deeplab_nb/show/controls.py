"""Widgets bound to an `Explorer`: they hold no knowledge of networks, only what the reader has chosen."""
import base64
import contextlib
import html
import os

import ipywidgets as widgets

from deeplab_nb.errors import WorkbookError
from deeplab_nb.progress import HEADLESS
from deeplab_nb.show.explorer import ORDERS, View
from deeplab_nb.show.palettes import PALETTES

BUSY = "working: the first picture of a new setting takes some seconds"
READY = "ready"


def explore(explorer):
    """The explorer for a cell's end: controls in JupyterLab, the first view as a picture where no one can move them."""
    return explorer.picture(explorer.first_view()) if os.environ.get(HEADLESS) else Controls(explorer)


class Controls(widgets.VBox):
    """Controls above a picture. In a saved notebook, where widgets do not run, the picture last shown stands for them."""

    def __init__(self, explorer):
        self._explorer, first, names = explorer, explorer.first_view(), list(explorer.names)
        self.order = widgets.Dropdown(options=ORDERS, description="images")
        self.image_id = widgets.Dropdown(options=explorer.ids(ORDERS[0]), description="image")
        self.class_id = widgets.Dropdown(options=[("all classes", None)] + [(name, i) for i, name in enumerate(names)], description="class")
        self.upload = widgets.FileUpload(accept="image/*", description="your photograph", layout={"width": "auto"})
        self.strength = widgets.FloatSlider(first.strength, min=0, max=1, step=0.1, description="strength", continuous_update=False)
        self.output_stride = widgets.Dropdown(options=(8, 16, 32), value=first.output_stride, description="stride")
        self.all_scales = widgets.Checkbox(first.all_scales, description="several scales", indent=False)
        self.flip = widgets.Checkbox(first.flip, description="mirrored too", indent=False)
        self.palette = widgets.Dropdown(options=list(PALETTES), description="colours")
        self.state, self.picture = widgets.HTML(), widgets.HTML()
        self._shown, self._quiet = None, False
        rows = ((self.order, self.image_id, self.upload), (self.class_id, self.palette, self.strength),
                (self.output_stride, self.all_scales, self.flip))
        super().__init__([widgets.HBox(row) for row in rows] + [self.state, self.picture])
        for control in (self.order, self.class_id):
            control.observe(lambda change: self._do(self._list_again), "value")
        for control in (self.image_id, self.strength, self.output_stride, self.all_scales, self.flip, self.palette):
            control.observe(lambda change: self._do(), "value")
        self.upload.observe(lambda change: self._do(self._take_photograph), "value")
        self._do()

    @property
    def view(self):
        """The `View` that the controls stand at."""
        chosen = ("image_id", "output_stride", "all_scales", "flip", "class_id", "strength", "palette")
        return View(**{name: getattr(self, name).value for name in chosen})

    def _do(self, step=None):
        """What one change asks for, then the new picture; an error becomes a sentence beside the last good one."""
        if self._quiet:
            return
        self._say(BUSY, "#8a5a00")
        try:
            with self._silenced():
                if step:
                    step()
            self._show(self._explorer.picture(self.view))
        except WorkbookError as error:
            self._say(str(error), "#b00020")
        except Exception as error:  # a callback's error would vanish in the browser's log
            self._say("this did not work: {}: {}".format(type(error).__name__, error), "#b00020")

    @contextlib.contextmanager
    def _silenced(self):
        """Controls that set each other draw one picture, not one each."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _list_again(self):
        ids, before = self._explorer.ids(self.order.value, self.class_id.value), self.image_id.value
        self.image_id.options = ids
        self.image_id.value = before if before in ids else ids[0]

    def _take_photograph(self):
        if self.upload.value:
            file = self.upload.value[-1]
            image_id = self._explorer.add_photograph(file["name"], bytes(file["content"]))
            self.order.value = ORDERS[-1]
            self._list_again()
            self.image_id.value = image_id

    def _show(self, picture):
        self._shown = picture
        self.picture.value = '<img alt="{}" src="data:image/png;base64,{}">'.format(
            html.escape(picture.words), base64.b64encode(picture.png).decode())
        self._say("{}. {}".format(READY, picture.words), "#205020")

    def _say(self, sentence, colour):
        self.state.value = '<div role="status" style="color: {}; line-height: 1.3">{}</div>'.format(colour, html.escape(sentence))

    def _repr_mimebundle_(self, **kwargs):
        data = super()._repr_mimebundle_(**kwargs)
        if self._shown is None:
            return data
        picture, metadata = self._shown._repr_mimebundle_()
        return dict(data, **picture), metadata
