"""The papers' table without training: the published checkpoints on VOC 2012 val.

RUN/ROW/counts-DIGEST.npz  what is counted so far; the digest is of weights, list and settings
RUN/ROW/eval/results.json  written when the row is complete
RUN/table.txt              the table as last printed
"""

import json
import os

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError, nearest
from deeplab_nb.evaluation.evaluate import count, summarise
from deeplab_nb.evaluation.metrics import load_counts
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.network import zoo
from deeplab_nb.network.checkpoints import digest, find_checkpoint
from deeplab_nb.network.weights import fetch_weights, misfit
from deeplab_nb.processes import peak_memory, terminable
from deeplab_nb.progress import duration, say
from deeplab_nb.runs import state

ROWS = tuple(number.name for _, number in zoo.VOC_VAL)
WEIGHTS = os.path.join(files.ROOT, "data", "weights")
MEASURED = 4  # images, the first not counted, whose time says what the list will take


def run(
    folder,
    *,
    only=None,
    data_root=None,
    list_name="val",
    checkpoint=None,
    weights=WEIGHTS,
    base=zoo.BASE,
):
    """Evaluates the rows, or `only` one; returns [(Number, results)].

    The same call goes on where it was interrupted. data_root: VOC folder; None takes the place
    where `fetch voc` puts it. list_name: of its list. checkpoint: in place of the fetched one, if
    the rows are of one checkpoint. weights, base: where checkpoints are kept and come from. A row
    whose checkpoint does not come has results {"error": sentence}, and the others go on.
    Raises WorkbookError for an unknown row, for data that is missing or damaged and for a
    checkpoint of another network.
    """
    chosen = select(only, checkpoint)
    data = {"data_root": _data(data_root), "val_list": list_name}
    os.makedirs(folder, exist_ok=True)
    with state.locked(folder), terminable():
        outcomes = []
        for row, number in chosen:
            say(f"{number.name}: {number.text}")
            try:
                prefix = _checkpoint(row, checkpoint, weights, base)
            except WorkbookError as error:
                if checkpoint:
                    raise
                say(f"{number.name}: not evaluated, {error}")
                results = {"error": str(error)}
            else:
                usual = recipes.get("published_" + number.name).settings
                place = os.path.join(folder, number.name)
                results = _evaluated(settings_module.override(usual, data), prefix, place)
                results.update(weights=row.name, weights_given=bool(checkpoint))
                files.write_json(state.evaluation_path(place), results)
            outcomes.append((number, results))
        files.write_text(os.path.join(folder, "table.txt"), table(outcomes) + "\n")
    return outcomes


def select(only=None, checkpoint=None):
    """Pairs of `zoo.VOC_VAL`.

    Raises WorkbookError for an unknown row, and for one checkpoint to rows of several.
    """
    names = ", ".join(ROWS)
    if only is not None and only not in ROWS:
        raise WorkbookError(f"there is no row '{only}'{nearest(only, ROWS)}; there are {names}")
    chosen = [pair for pair in zoo.VOC_VAL if only in (None, pair[1].name)]
    if checkpoint and len({row.name for row, _ in chosen}) > 1:
        raise WorkbookError(
            f"checkpoint {checkpoint} is for one row: name it with --only, one of {names}"
        )
    return chosen


def _data(data_root):
    default = os.path.join(files.ROOT, recipes.VOC)
    if data_root is None and not os.path.isdir(default):
        raise WorkbookError(
            f"{default} does not exist: `deeplab-nb fetch voc` brings it (2.0 GB), "
            "or give --data VOC_ROOT"
        )
    return voc.check_root(data_root or default)


def _checkpoint(row, given, weights, base):
    """Prefix of the row's weights, fetched unless given."""
    if not given:
        return fetch_weights(row.name, weights, base=base)
    prefix = find_checkpoint(given)
    wrong = misfit(prefix, row)
    if wrong:
        raise WorkbookError(f"checkpoint {prefix} is not {row.name}: {wrong}")
    return prefix


def _evaluated(settings, prefix, folder):
    """Results of the whole list: those that are there, or counted from where that ended."""
    ids = voc.read_list(settings.data_root, settings.val_list)
    # all that the counts depend on
    made_of = json.dumps([settings_module.as_dict(settings), ids], sort_keys=True)
    key, done = digest(prefix, made_of).hexdigest()[:16], state.evaluation_of(folder)
    if done.get("digest") == key:
        return done
    kept = os.path.join(folder, f"counts-{key}.npz")
    with Predictor(settings, prefix, engine="auto", images=len(ids)) as predictor:
        options = dict(predictor=predictor, kept=kept)
        some = ids[: MEASURED if settings.eval_scales == (1.0,) else 2]
        measured = count(settings, None, ids=some, **options)
        whole = duration(measured.seconds * len(ids))
        say(
            f"{os.path.basename(folder)}: {measured.seconds:.2f} s an image here, so about {whole} "
            f"for {len(ids):,} images; {len(load_counts(kept).confusions):,} are counted"
        )
        results = summarise(count(settings, None, **options)).results
    return dict(results, digest=key, memory=round(peak_memory()))


def table(outcomes):
    """Plain text: a line a row, and a difference only for the whole of VOC 2012 val."""
    lines = [
        "{:22s} {:>10s} {:>10s} {:>10s} {:>12s} {:>12s}".format(
            "mIoU %", "expected", "measured", "difference", "s an image", "memory, MiB"
        )
    ]
    for number, results in outcomes:
        start = f"{number.name:22s} {number.miou:10.2f} "
        if "error" in results:
            lines.append(f"{start}not evaluated: {results['error']}")
            continue
        measured, part = 100 * results["miou"], _part(results, number)
        difference = "-" if part else f"{measured - number.miou:+.2f}"
        lines.append(
            f"{start}{measured:10.2f} {difference:>10s} "
            f"{results['seconds_an_image']:12.3f} {results['memory']:12,d}{part}"
        )
    return "\n".join(
        lines + ["memory: the most that the process has held so far, with what the rows above left"]
    )


def _part(results, number):
    """Why a row has no difference, '' where it has one."""
    if results["whole_list"] and results["list"] == number.list:
        return ""
    images = f"   not compared: {results['images']} "
    if results["list"] == "val":
        return images + f"of the {voc.LIST_SIZES['val']:,} images of VOC 2012 val"
    return images + f"images of list {results['list']}, not VOC 2012 val"
