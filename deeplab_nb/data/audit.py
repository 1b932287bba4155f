"""What lists, photographs and masks really hold, looked at before anything is built on them.

The commonest bad score comes from masks that are not what the network expects: values beyond the
classes, objects coded as the ignore label, sizes that differ. All of it is found here, with file
names. Weights for rare classes follow from the same counts.
"""

import collections
import dataclasses
import itertools
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image

from deeplab_nb.data import pictures, voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.progress import in_threads

NAMED = 3  # offenders that an error names before it only counts
IGNORED_SHARE = 0.2  # VOC's own borders stay well below it, an object coded 255 does not


@dataclasses.dataclass(frozen=True)
class ListAudit:
    """One list of ids. `pixels` and `images` have 256 entries, one for each possible mask value."""

    name: str
    count: int
    official: Optional[int]  # size of VOC's list of this name, None where VOC has none
    pixels: Tuple[int, ...]  # pixels of each value
    images: Tuple[int, ...]  # masks in which each value occurs
    longest_side: int  # of the photographs, in pixels

    @property
    def values(self):
        """Mask values that occur, ascending."""
        return tuple(value for value, count in enumerate(self.pixels) if count)

    @property
    def size(self):
        """The list's size in words, beside VOC's official one."""
        whole = {None: "", self.count: ", VOC's full list"}
        return f"{self.count} images" + whole.get(
            self.official, f", not VOC's full list of {self.official}"
        )

    def median_frequency(self, num_classes):
        """Class weights: the median frequency / the class's (Eigen and Fergus 2015, section 4.3.2).

        A class's frequency is its share of the pixels of the images in which it occurs. An absent
        class gets 0. Weights help where a class is so rare that the network gives it up, and cost
        precision on the others: train without first.
        """
        pixels, images = self._counts(num_classes)
        size = pixels.sum() / self.count  # of an image, on average
        frequency = np.divide(pixels, images * size, out=np.zeros(num_classes), where=images > 0)
        return _weights(np.median(frequency[images > 0]), frequency)

    def inverse_log(self, num_classes):
        """1 / ln(1.02 + share of all pixels): milder (ENet, 1606.02147, section 5.2)."""
        pixels, images = self._counts(num_classes)
        share = pixels / pixels.sum()
        return _weights(1.0, np.where(images > 0, np.log(1.02 + share), 0))

    def _counts(self, num_classes):
        pixels, images = np.array([self.pixels, self.images], float)[:, :num_classes]
        if not pixels.any():
            raise WorkbookError(
                f"list {self.name} has no labelled pixel: audit its masks before weighing classes"
            )
        return pixels, images


def _weights(numerator, denominators):
    weights = np.divide(
        numerator, denominators, out=np.zeros(len(denominators)), where=denominators > 0
    )
    return tuple(round(float(weight), 3) for weight in weights)


@dataclasses.dataclass(frozen=True)
class Audit:
    """The outcome of `audit`. Problems and warnings are pairs (image id or list, sentence)."""

    root: str
    num_classes: int
    ignore_label: int
    lists: Tuple[ListAudit, ...]
    problems: Tuple[Tuple[str, str], ...]
    warnings: Tuple[Tuple[str, str], ...]
    notes: Tuple[str, ...]

    @property
    def longest_side(self):
        """Of all photographs, in pixels; `settings.crop_for` turns it into the evaluation crop."""
        return max(one.longest_side for one in self.lists)

    def of(self, list_name):
        return next(one for one in self.lists if one.name == list_name)

    def raise_if_bad(self):
        """WorkbookError that counts the problems and names the first ones with their remedy."""
        if self.problems:
            count = len(self.problems)
            named = "; ".join(sentence for _, sentence in self.problems[:NAMED])
            more = f"; and {count - NAMED} more" if count > NAMED else ""
            raise WorkbookError(f"{count} problem{'s' * (count > 1)} in {self.root}: {named}{more}")

    def void_share(self, list_name):
        """Share of a list's pixels that are the ignore label, 0 to 1."""
        pixels = self.of(list_name).pixels
        return pixels[self.ignore_label] / max(1, sum(pixels))

    def table(self, list_name):
        """A list's classes as text: share of the labelled pixels and number of images of each."""
        one = self.of(list_name)
        labelled = max(1, sum(one.pixels[: self.num_classes]))
        names = voc.class_names(self.num_classes, self.root)
        rows = [(value, name, one.pixels[value] / labelled) for value, name in enumerate(names)]
        rows.append((self.ignore_label, "(ignored)", self.void_share(list_name)))
        return "\n".join(
            [f"{one.name} ({one.size})", f"{'id':>3}  {'class':<14}{'pixels':>8}{'images':>9}"]
            + [
                f"{value:>3}  {name:<14}{100 * share:>7.2f}%{one.images[value]:>9}"
                for value, name, share in rows
            ]
        )


class _Pair(NamedTuple):
    """One photograph with its mask. found: ('problem' or 'warning', sentence) each."""

    found: List[Tuple[str, str]]
    pixels: List[int]
    side: int  # longest side of the photograph
    colours: Dict[int, tuple]  # of a palette mask's classes


def audit(root, lists, *, num_classes=21, ignore_label=255):
    """Audit of the named lists under a VOC folder; each file is decoded once, on all cores.

    Raises WorkbookError only where there is nothing to audit: no data folder, no such list.
    What is wrong with single files is collected in `problems`.
    """
    root = voc.check_root(root)
    ids = {name: voc.read_list(root, name) for name in lists}
    every = list(dict.fromkeys(itertools.chain.from_iterable(ids.values())))
    label = "audit " + ", ".join(lists)
    looked = in_threads(lambda i: _look(root, i, num_classes, ignore_label), every, label=label)
    pairs = dict(zip(every, looked))
    found = [(kind, i, sentence) for i in every for kind, sentence in pairs[i].found]
    found += _shared_ids(ids) + _twice(ids) + _palettes(pairs)
    problems, warnings, notes = (
        tuple((where, sentence) for kind, where, sentence in found if kind == wanted)
        for wanted in ("problem", "warning", "note")
    )
    return Audit(
        root=root,
        num_classes=num_classes,
        ignore_label=ignore_label,
        lists=tuple(_summary(name, [pairs[i] for i in ids[name]]) for name in lists),
        problems=problems,
        warnings=warnings,
        notes=tuple(sentence for _, sentence in notes),
    )


def _look(root, image_id, num_classes, ignore_label):
    """Decodes one photograph and its mask."""
    mask_path = voc.mask_path(root, image_id)
    size, held, found, pixels, colours = (), 1, [], [0] * 256, {}
    try:
        size, held = pictures.decoded_size(voc.image_path(root, image_id))
    except WorkbookError as error:
        found.append(("problem", str(error)))
    try:
        stored = pictures.read_stored(mask_path)
        mask, _ = voc.ids_of(stored, mask_path)
    except WorkbookError as error:
        found.append(("problem", str(error)))
    else:
        pixels = Image.fromarray(mask).histogram()
        found += _of_mask(mask_path, mask.shape, size, held, pixels, num_classes, ignore_label)
        if stored.mode == "P":
            colours = stored.pairs
    return _Pair(found, pixels, max(size, default=0), colours)


def _of_mask(path, shape, size, held, pixels, num_classes, ignore):
    """[(kind, sentence)] of a mask that decodes; size: its photograph's, () where that does not."""
    found, turned = [], f"the photograph of mask {path} is stored turned (EXIF orientation {held})"
    if size and size != shape:
        sentence = (
            f"mask {path} is {shape[0]}x{shape[1]}, its photograph {size[0]}x{size[1]} "
            "(height x width): save it in the photograph's size"
        )
        if held > 4 and size == shape[::-1]:
            sentence = f"{turned} and shown upright, the mask is not: turn the mask as well"
        found.append(("problem", sentence))
    elif held > 1 and (held < 5 or shape[0] == shape[1]):
        found.append(("warning", f"{turned} and shown upright: see that the mask is upright too"))
    wrong = [value for value in range(num_classes, 256) if pixels[value] and value != ignore]
    if wrong:
        shown = ", ".join(map(str, wrong[:8])) + " and others" * (len(wrong) > 8)
        sentence = (
            f"mask {path} has value{'s' * (len(wrong) > 1)} {shown}, only 0..{num_classes - 1} "
            f"and {ignore} are allowed: correct it or num_classes"
        )
        found.append(("problem", sentence))
    share = pixels[ignore] / sum(pixels)
    if pixels[0] + pixels[ignore] == sum(pixels) and share > IGNORED_SHARE:
        sentence = (
            f"mask {path} holds only 0 and {ignore} ({share:.0%}): {ignore} is the ignore value "
            "here, so the object is ignored; code it as a class id"
        )
        found.append(("warning", sentence))
    return found


def _summary(name, pairs):
    pixels = np.array([pair.pixels for pair in pairs])
    return ListAudit(
        name=name,
        count=len(pairs),
        official=voc.LIST_SIZES.get(name),
        pixels=tuple(pixels.sum(axis=0).tolist()),
        images=tuple((pixels > 0).sum(axis=0).tolist()),
        longest_side=max(pair.side for pair in pairs),
    )


def _role(name):
    """What a list is for, by its name; None where the name does not tell."""
    return next((role for role in ("trainval", "train", "val") if name.startswith(role)), None)


# How bad it is that two lists share images. Pairs that are not here, such as train with trainaug,
# do so by their nature.
_SHARING = {frozenset(("train", "val")): "problem", frozenset(("trainval", "val")): "note"}
_REMEDY = {
    "problem": ": take the evaluation images out of the training list",
    "warning": ": a score on images that were trained on says little",
    "note": ": trainval holds both by nature, score such a training on other images",
}


def _shared_ids(ids):
    """[(kind, list, sentence)] for lists that share images."""
    found = []
    for one, other in itertools.combinations(ids, 2):
        roles = frozenset((_role(one), _role(other)))
        kind = "warning" if None in roles else _SHARING.get(roles)
        others = set(ids[other])
        common = [i for i in ids[one] if i in others]
        if common and kind:
            sentence = (
                f"lists {one} and {other} share {len(common)} of their images, {common[0]} is the "
                f"first{_REMEDY[kind]}"
            )
            found.append((kind, one, sentence))
    return found


def _twice(ids):
    """[('warning', list, sentence)] for lists that name an image more than once."""
    found = []
    for name in ids:
        twice = [i for i, times in collections.Counter(ids[name]).items() if times > 1]
        if twice:
            sentence = (
                f"list {name} names {twice[0]} more than once ({len(twice)} such ids): it trains "
                "each time and is evaluated once"
            )
            found.append(("warning", name, sentence))
    return found


def _palettes(pairs):
    """[('warning', image, sentence)] for the first class that has two colours in palette masks."""
    known = {}
    for image_id, pair in pairs.items():
        for number, colour in pair.colours.items():
            before, other = known.setdefault(number, (colour, image_id))
            if before != colour:
                sentence = (
                    f"palettes differ between masks: {number} is {before} in that of {other} and "
                    f"{colour} in that of {image_id}; the numbers count, see that they are classes"
                )
                return [("warning", image_id, sentence)]
    return []
