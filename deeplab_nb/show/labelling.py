"""Any number of photographs, in files and folders, labelled into a folder.

A PNG written here bears a digest of its photograph, the checkpoint and the options, see
`files.mark_of`: by it the same command, once interrupted, knows what is done.
"""

import json
import os
from pathlib import Path

from deeplab_nb.data import voc
from deeplab_nb.data.pictures import SUFFIXES
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import KNOWN, common_side, listed, sides_of
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.evaluation.tiles import known_labels
from deeplab_nb.files import mark_of, refuse_over
from deeplab_nb.network import checkpoints, zoo
from deeplab_nb.network.described import trained_with
from deeplab_nb.progress import progress
from deeplab_nb.settings import crop_for
from deeplab_nb.show import plots

TILE = 1025  # twice DeepLab's crop, so that image pooling sees more than a detail


def label(
    settings, checkpoint, given, out, *, engine, names, side=None, tile=None, overwrite=False, tell
):
    """Writes OUT/NAME.png, class ids, and OUT/NAME_overlay.png of each photograph.

    settings, checkpoint, engine: as for `Predictor`. given: files and folders of photographs.
    names: of the classes. side: what a photograph's longer side is brought to before it is
    labelled, in pixels, None leaves it. tile: side of the tiles of what is larger still; None takes
    TILE, or `side` where that is larger. overwrite: as for `files.refuse_over`. tell: is called
    with each line for the person.
    What this checkpoint has labelled under these options already is skipped.
    Returns {photograph: why it could not be labelled}. Raises WorkbookError before anything is
    written.
    """
    targets = _targets(photographs(given), out)
    results = [path for pair in targets.values() for path in pair]
    refuse_over(results, inputs=targets, overwrite=overwrite)
    tile = tile or max(TILE, side or 0)
    how = [settings.eval_output_stride, settings.eval_scales, settings.eval_flip, side, tile, names]
    prefix = checkpoints.find_checkpoint(checkpoint)
    digest = checkpoints.digest(prefix)
    digest.update(json.dumps(how).encode())
    failed, todo = {}, []
    for path, written in targets.items():
        try:
            mark = digest.copy()
            mark.update(Path(path).read_bytes())
        except OSError as error:
            failed[path] = error.strerror or str(error)
            continue
        mark = "predict " + mark.hexdigest()
        if any(mark_of(file) != mark for file in written):
            todo.append((path, written, mark))
    done = len(targets) - len(todo) - len(failed)
    if done:
        tell(f"{done} photographs are labelled already, by this checkpoint and these options")
    if todo:
        with Predictor(settings, prefix, engine=engine, images=len(todo)) as predictor:
            for path, written, mark in progress(todo, label="labelling"):
                try:
                    image = voc.read_image(path)
                    labels = known_labels(predictor, image, side, tile)
                except (WorkbookError, MemoryError) as error:
                    failed[path] = str(error) or "out of memory: make it smaller"
                    continue
                _write(image, labels, names, written, mark)
                tell(f"{path}: {', '.join(names[i] for i in sorted(set(labels.ravel())))}")
    return failed


def _write(image, labels, names, written, mark):
    """The overlay, then the mask."""
    step = -(-max(labels.shape) // 1000)  # the overlay is a few hundred pixels wide
    mask, overlay = written
    figure = plots.show_prediction(
        image[::step, ::step], labels[::step, ::step], names, title=Path(mask).stem
    )
    plots.save(figure, overlay, mark)
    voc.write_mask(mask, labels, mark)


def photographs(given):
    """{path of a photograph: its name, path below the folder that was given} of files and folders.

    What a prediction wrote is no photograph of a folder. Raises WorkbookError for a folder without
    any.
    """
    found, seen = {}, set()
    for path in given:
        files = [path]
        if os.path.isdir(path):
            files = sorted(
                os.path.join(folder, name)
                for folder, _, names in os.walk(path)
                for name in names
                if name.lower().endswith(SUFFIXES) and not name.startswith(".")
            )
            files = [file for file in files if mark_of(file) is None]
            if not files:
                raise WorkbookError(
                    f"folder {path} holds no photograph: they end in {', '.join(SUFFIXES)}"
                )
        for file in files:
            if os.path.realpath(file) not in seen:
                seen.add(os.path.realpath(file))
                top = path if os.path.isdir(path) else os.path.dirname(file)
                found[file] = os.path.relpath(file, top or ".")
    return found


def _targets(found, out):
    """{photograph: (mask, overlay)}, names that differ even where a disk knows no upper case.

    As short as that goes: the name below its folder, the path below all photographs' folder, that
    with its ending.
    """
    folders = [os.path.dirname(os.path.abspath(path)) for path in found]
    top = os.path.commonpath(folders)
    below = [os.path.relpath(os.path.abspath(path), top) for path in found]
    cut = [os.path.splitext(name)[0] for name in below]
    for names in ([os.path.splitext(name)[0] for name in found.values()], cut, below):
        pairs = [
            tuple(os.path.join(out, name + end) for end in (".png", "_overlay.png"))
            for name in names
        ]
        if len({path.lower() for pair in pairs for path in pair}) == 2 * len(pairs):
            return dict(zip(found, pairs))
    raise WorkbookError("two photographs have one name: label them into folders of their own")


# --- what a checkpoint knows, beside its variables


def known_side(prefix):
    """The side, in pixels, of the frame in which a checkpoint's run evaluates; else KNOWN."""
    settings = trained_with(prefix)
    try:
        return crop_for(common_side(sides_of(*listed(settings))))
    except (WorkbookError, AttributeError):
        return max(KNOWN, settings.train_crop_size if settings else 0)


def names_of(prefix, num_classes, file=None):
    """Class names of a checkpoint's network.

    Of `file`, a name a line; else of classes.txt in the data folder of its training or beside it;
    VOC's if the network is VOC's; else numbers. Raises WorkbookError for a file of another count.
    """
    settings, folder = trained_with(prefix), os.path.dirname(os.path.abspath(prefix))
    root = settings.data_root if settings else ""
    for path in [file] if file else [os.path.join(f, voc.NAMES) for f in (root, folder) if f]:
        try:
            names = tuple(voc.read_text(path).splitlines())
        except (OSError, WorkbookError) as error:
            if file:
                raise WorkbookError(f"class names {file} cannot be read ({error}): give a text")
            continue
        if len(names) == num_classes:
            return names
        if file:
            raise WorkbookError(
                f"class names {file} has {len(names)} lines, the network {num_classes} classes: "
                "write a name a line, background first"
            )
    of_voc = zoo.name_of(prefix) or "voc" in os.path.basename(folder).lower().split("_")
    if settings:
        known = os.path.isdir(root) and not os.path.exists(os.path.join(root, voc.NAMES))
        of_voc = known or "voc" in os.path.basename(root).lower()
    if of_voc:
        return voc.class_names(num_classes)
    return voc.numbered_names(num_classes)
