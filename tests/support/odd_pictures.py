"""Picture files as people and their tools write them."""

import struct
import zlib

import numpy as np
from PIL import Image

GREY16 = (np.arange(60 * 80).reshape(60, 80) * 13 % 65536).astype(np.uint16)


def turned(path, orientation, size=(80, 60)):
    """A JPEG with an EXIF orientation, darker towards its stored right and bottom; its pixels."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    pixels = np.stack([255 - 2 * x, 255 - 3 * y, 0 * x + 99], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(str(path), "JPEG", quality=95, exif=exif)
    return pixels


def bomb(path, side=20000):
    """A grey PNG of side x side zeros in few bytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    with open(str(path), "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head))
        file.write(chunk(b"IDAT", rows) + chunk(b"IEND", b""))
