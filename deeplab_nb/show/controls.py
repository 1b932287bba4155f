"""Widgets bound to an `Explorer`: they know only what the reader has chosen, not of networks."""

import base64
import dataclasses
import html
import os

import ipywidgets as widgets

from deeplab_nb.errors import WorkbookError
from deeplab_nb.progress import HEADLESS
from deeplab_nb.show.explorer import ORDERS, View
from deeplab_nb.show.plots import PALETTES

BUSY = "working: the first picture of a new setting takes some seconds"
READY = "ready"

_CHOSEN = [field.name for field in dataclasses.fields(View)]  # a control each


def explore(explorer):
    """The explorer for a cell's end: controls, or a picture where no one can move them."""
    if os.environ.get(HEADLESS):
        return explorer.picture(explorer.first_view())
    return Controls(explorer)


class Controls(widgets.VBox):
    """Controls above a picture.

    In a saved notebook, where widgets do not run, the picture last shown stands for them.
    """

    def __init__(self, explorer):
        self._explorer, first = explorer, explorer.first_view()
        classes = [(name, number) for number, name in enumerate(explorer.names)]
        self.order = widgets.Dropdown(options=ORDERS, description="images")
        self.image_id = widgets.Dropdown(options=explorer.ids(ORDERS[0]), description="image")
        self.class_id = widgets.Dropdown(
            options=[("all classes", None)] + classes, description="class"
        )
        self.upload = widgets.FileUpload(
            accept="image/*", description="your photograph", layout={"width": "auto"}
        )
        self.strength = widgets.FloatSlider(
            first.strength, min=0, max=1, step=0.1, description="strength", continuous_update=False
        )
        self.output_stride = widgets.Dropdown(
            options=(8, 16, 32), value=first.output_stride, description="stride"
        )
        self.all_scales = widgets.Checkbox(
            first.all_scales, description="several scales", indent=False
        )
        self.flip = widgets.Checkbox(first.flip, description="flipped too", indent=False)
        self.palette = widgets.Dropdown(options=list(PALETTES), description="colours")
        self.state, self.picture = widgets.HTML(), widgets.HTML()
        self._shown, self._quiet = None, False
        rows = (
            (self.order, self.image_id, self.upload),
            (self.class_id, self.palette, self.strength),
            (self.output_stride, self.all_scales, self.flip),
        )
        super().__init__([widgets.HBox(row) for row in rows] + [self.state, self.picture])
        # each control asks for a picture, some for another step before it
        steps = dict.fromkeys(_CHOSEN)
        steps.update(
            order=self._list_again, class_id=self._list_again, upload=self._take_photograph
        )
        for name, step in steps.items():
            getattr(self, name).observe(lambda _, step=step: self._do(step), "value")
        self._do()

    @property
    def view(self):
        """The `View` that the controls stand at."""
        return View(**{name: getattr(self, name).value for name in _CHOSEN})

    def _do(self, step=None):
        """What one change asks for, then the new picture.

        An error becomes a sentence beside the last good one.
        """
        if self._quiet:
            return
        self._say(BUSY, "#8a5a00")
        self._quiet = True  # controls that set each other draw one picture, not one each
        try:
            if step:
                step()
            self._show(self._explorer.picture(self.view))
        except WorkbookError as error:
            self._say(str(error), "#b00020")
        except Exception as error:  # a callback's error would vanish in the browser's log
            self._say(f"this did not work: {type(error).__name__}: {error}", "#b00020")
        finally:
            self._quiet = False

    def _list_again(self):
        ids = self._explorer.ids(self.order.value, self.class_id.value)
        before = self.image_id.value
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
        content = base64.b64encode(picture.png).decode()
        self.picture.value = (
            f'<img alt="{html.escape(picture.words)}" src="data:image/png;base64,{content}">'
        )
        self._say(f"{READY}. {picture.words}", "#205020")

    def _say(self, sentence, colour):
        self.state.value = (
            f'<div role="status" style="color: {colour}; line-height: 1.3">'
            f"{html.escape(sentence)}</div>"
        )

    def _repr_mimebundle_(self, **kwargs):
        data = super()._repr_mimebundle_(**kwargs)
        if self._shown is None:
            return data
        picture, metadata = self._shown._repr_mimebundle_()
        return {**data, **picture}, metadata
