"""The one way in for picture files: photographs as a person sees them, masks as they are stored.

An EXIF orientation is followed in photographs; masks are taken as they lie. Transparency leaves a
photograph's colours as they are, and is background in a mask.
"""

import contextlib
import io
import os
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image, UnidentifiedImageError

from deeplab_nb.errors import WorkbookError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
LIMIT = "DEEPLAB_NB_MAX_PIXELS"  # of one picture, looked at before it takes memory
MOST_PIXELS = 180000000
LOSSY = "JPEG", "MPO"  # a camera's file of several JPEGs is called MPO
Image.MAX_IMAGE_PIXELS = None  # `opened` has the limit, and says it in words


def most_pixels():
    """The limit of one picture's pixels."""
    limit = os.environ.get(LIMIT, "")
    return int(limit) if limit.isdecimal() else MOST_PIXELS


@contextlib.contextmanager
def opened(source, what):
    """The picture in a file, for the block that decodes it.

    source: a path, or bytes; what: 'photograph' or 'mask'. Raises
    WorkbookError for a file that is missing or damaged, and for more pixels than the limit.
    """
    named, limit = f"{what} {source}", most_pixels()
    if isinstance(source, bytes):
        named, source = f"the {what}", io.BytesIO(source)
    try:
        with Image.open(source) as image:
            if image.width * image.height > limit:
                raise WorkbookError(
                    f"{named} is {image.width}x{image.height}, more than {limit} pixels: make it "
                    f"smaller, or raise the limit in the environment, {LIMIT}"
                )
            yield image
    except WorkbookError:
        raise
    except FileNotFoundError:
        raise WorkbookError(f"{named} does not exist: correct the list or add the file")
    except UnidentifiedImageError:
        raise WorkbookError(f"{named} is not readable (no picture known here): replace the file")
    except MemoryError:
        raise WorkbookError(f"{named} takes more memory than there is: make it smaller")
    except Exception as error:  # of many kinds, as are the ways in which a file can be damaged
        said = str(error) or type(error).__name__
        raise WorkbookError(f"{named} is damaged ({said}): replace the file")


def orientation(image):
    """1 to 8, how a camera was held: EXIF's number, 1 is upright. From 5 on the sides change."""
    try:
        found = image.getexif().get(0x0112)
    except Exception:  # a broken note on a whole picture
        return 1
    return found if found in range(1, 9) else 1


def image_size(source):
    """(height, width) of the upright photograph, a path or bytes, from its header alone."""
    with opened(source, "photograph") as image:
        return image.size if orientation(image) > 4 else image.size[::-1]


def read_image(source):
    """A photograph, upright, as uint8 [height, width, 3]; source: a path, or bytes.

    16 bits become 8 by value / 257. Floating-point numbers count from 0 to the first of 1, 255 and
    65535 that none exceeds. CMYK becomes RGB. Raises WorkbookError for a missing or broken file and
    for other numbers.
    """
    with opened(source, "photograph") as image:
        held = orientation(image)
        image.load()
        if image.mode[0] in "FI":
            values = _eight_bits(image)
        else:
            image.info.pop("transparency", None)
            values = _pixels(image.convert("RGB"))
        if held > 4:
            values = values.swapaxes(0, 1)
        rows, columns = -1 if held in (3, 4, 7, 8) else 1, -1 if held in (2, 3, 6, 7) else 1
        return np.ascontiguousarray(values[::rows, ::columns])


def _pixels(image):
    """The array; of a picture that memory does not hold, numpy alone would make an object."""
    values = np.array(image)
    if values.dtype == object:
        raise MemoryError
    return values


def _eight_bits(image):
    """uint8 [h, w, 3] of a grey picture of 16 bits or floating-point numbers."""
    values = _pixels(image).astype(np.float32)
    low, high = values.min(), values.max()
    top = next((top for top in (1, 255) if image.mode == "F" and high <= top), 65535)
    if not 0 <= low <= high <= top:  # nor with NaN
        raise ValueError(f"values from {low:g} to {high:g}, where 0 to 65535 are greys")
    grey = np.round(values * np.float32(255 / top)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def decoded_size(path):
    """((height, width) upright, `orientation`) of a photograph that decodes to its end.

    Decoding at an eighth of the size reads every byte of a JPEG, so a cut file is found three times
    sooner.
    """
    with opened(path, "photograph") as image:
        held, size = orientation(image), image.size
        if image.format in LOSSY:
            image.draft("RGB", (size[0] // 8, size[1] // 8))
            image.load()
            return size if held > 4 else size[::-1], held
    return read_image(path).shape[:2], held


def as_trained(source):
    """A photograph's bytes, of which TensorFlow makes what `read_image` gives.

    source: a path, or bytes. They are its own for upright JPEGs and PNGs of 8 bits, RGB or grey;
    else a PNG's.
    """
    with opened(source, "photograph") as image:
        plain = image.format in (*LOSSY, "PNG") and image.mode in ("RGB", "L")
        if plain and orientation(image) == 1:
            return source if isinstance(source, bytes) else Path(source).read_bytes()
    content = io.BytesIO()
    Image.fromarray(read_image(source)).save(content, "PNG")
    return content.getvalue()


class Stored(NamedTuple):
    """What a mask's pixels hold; transparent ones are 0 and black.

    mode: 'P', numbers with a palette; 'L', grey; 'RGB', colours. colours: uint8 [h, w, 3].
    numbers: uint8 [h, w], a palette's, or of three equal channels; None of colours.
    """

    mode: str
    colours: np.ndarray
    numbers: Optional[np.ndarray]

    @property
    def pairs(self):
        """{number: its colour} of those that occur, without a palette's ignore value 255."""
        numbers, places = np.unique(self.numbers, return_index=True)
        colours = self.colours.reshape(-1, 3)[places].tolist()
        pairs = zip(numbers.tolist(), map(tuple, colours))
        return {i: colour for i, colour in pairs if i < 255 or self.mode != "P"}


def read_stored(path):
    """The `Stored` of a mask. Raises WorkbookError for a missing or broken file, for a JPEG and for
    numbers beyond 255.
    """
    with opened(path, "mask") as image:
        if image.format in LOSSY:
            raise WorkbookError(
                f"mask {path} is a JPEG, which changes values along edges so that they are no "
                "classes any more: save the masks anew as PNG, from before"
            )
        image.load()
        if image.mode[0] in "FI":
            wide = _pixels(image)
            if (wide != wide.astype(np.uint8)).any():
                raise WorkbookError(
                    f"mask {path} has 16 or more bits a pixel: save it with 8, class numbers 0 to "
                    "254"
                )
            image = Image.fromarray(wide.astype(np.uint8))
        numbers, rgba = _pixels(image), _pixels(image.convert("RGBA"))
        mode = image.mode
        gone, colours = rgba[..., 3] == 0, rgba[..., :3]
        colours[gone] = 0
        if mode == "P" and (numbers[~gone].all() or not gone.any()):
            numbers[gone] = 0
            return Stored(mode, colours, numbers)
        grey = (colours == colours[..., :1]).all()
        return Stored("L" if mode[0] in "1L" else "RGB", colours, colours[..., 0] if grey else None)
