"""A photograph as a browser uploads it."""

import io

from PIL import Image


def file_of(size, orientation=None, form="JPEG"):
    """Bytes of a picture file, left half white; orientation: the mark of a camera held sideways."""
    image = Image.new("RGB", size)
    image.paste((255, 255, 255), (0, 0, size[0] // 2, size[1]))
    exif, file = Image.Exif(), io.BytesIO()
    if orientation:
        exif[0x0112] = orientation
    image.save(file, form, exif=exif)
    return file.getvalue()
