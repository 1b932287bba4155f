"""Ways to show a photograph to the network and to score it; a number means something only under its protocol's name."""
import collections

import numpy as np
from PIL import Image

from deeplab_nb.settings import crop_for

# says: the sentence beside the number; frame: (height, width) of an image -> that of its grey frame;
# one_frame: the frame of every image where they share one, else None; crop: side that image and mask are cut to, or None
Protocol = collections.namedtuple("Protocol", "says frame one_frame crop")

BATCH = 2  # of MindSpore's evaluation: its metric is a mean over batches, so their size is part of it


def protocol_of(settings, longest_side):
    """The protocol that `settings.eval_protocol` names.

    longest_side: of the list's photographs, in pixels; the one frame of 'deeplab' follows from it.
    """
    stride, crop = settings.eval_output_stride, settings.train_crop_size
    square = crop_for(longest_side)
    return {
        # the published networks learned from padded crops: image pooling expects the grey
        "deeplab": Protocol("whole image padded to {0}x{0}".format(square), lambda size: (square, square), (square, square), None),
        "tight": Protocol("whole image padded to the nearest sides of {}k+1".format(stride),
                          lambda size: tuple(-(-(side - 1) // stride) * stride + 1 for side in size), None, None),
        "native": Protocol("whole image at its own size, without padding", lambda size: size, None, None),
        "mindspore": Protocol("short side scaled to {0}, centre crop {0}x{0}, mean over batches of {1} of each batch's mIoU".format(
            crop, BATCH), lambda size: (crop, crop), (crop, crop), crop),
    }[settings.eval_protocol]


def fit(array, crop):
    """A photograph uint8 [height, width, 3], or a mask uint8 [height, width], as the protocol shows it.

    None leaves it whole. A crop scales the short side to it and takes the square in the middle, as the
    MindSpore entry prepares its evaluation; nothing of that is padding. That the long side is cut to
    whole pixels and the offset rounded is our reading of it.
    """
    if crop is None:
        return array
    height, width = array.shape[:2]
    size = width * crop // min(height, width), height * crop // min(height, width)
    scaled = np.asarray(Image.fromarray(array).resize(size, Image.NEAREST if array.ndim == 2 else Image.BILINEAR))
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return scaled[top:top + crop, left:left + crop]
