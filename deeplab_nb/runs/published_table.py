"""The papers' table without training: the published checkpoints on VOC 2012 val, each as its number was obtained.

RUN/ROW/counts-DIGEST.npz  what is counted so far; the digest is of weights, list and settings, so it serves nothing else
RUN/ROW/eval/results.json  written when the row is complete
RUN/table.txt              the table as last printed
"""
import hashlib
import json
import os

from deeplab_nb import paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.counts import load_counts
from deeplab_nb.evaluation.evaluate import count, summarise
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.files import write_json
from deeplab_nb.network import zoo
from deeplab_nb.network.checkpoints import blocks, find_checkpoint
from deeplab_nb.network.weights import fetch_weights, misfit
from deeplab_nb.processes import peak_memory, terminable
from deeplab_nb.progress import duration
from deeplab_nb.runs import state

ROWS = tuple(number.name for _, number in zoo.VOC_VAL)
WEIGHTS = os.path.join(paths.ROOT, "data", "weights")
MEASURED = 4  # images, the first not counted, whose time says what the list will take


def run(folder, *, only=None, data_root=None, list_name="val", checkpoint=None, weights=WEIGHTS, base=zoo.BASE):
    """Evaluates the rows, or `only` one; the same call goes on where it was interrupted. Returns [(Number, results)].

    data_root: VOC folder; None takes the place where `fetch voc` puts it. list_name: of its list.
    checkpoint: in place of the fetched one, if the rows are of one checkpoint. weights, base: where checkpoints are kept and
    come from. A row whose checkpoint does not come has results {"error": sentence}, and the others go on.
    Raises WorkbookError for an unknown row, for data that is missing or damaged and for a checkpoint of another network.
    """
    chosen = select(only, checkpoint)
    root = _data(data_root)
    os.makedirs(folder, exist_ok=True)
    with state.locked(folder), terminable():
        outcomes = []
        for row, number in chosen:
            print("{}: {}".format(number.name, number.text), flush=True)
            results = _row(row, number, os.path.join(folder, number.name), root, list_name, checkpoint, weights, base)
            outcomes.append((number, results))
        with open(os.path.join(folder, "table.txt"), "w") as file:
            file.write(table(outcomes) + "\n")
    return outcomes


def select(only=None, checkpoint=None):
    """Pairs of `zoo.VOC_VAL`. Raises WorkbookError for an unknown row, and for one checkpoint to rows of several."""
    if only is not None and only not in ROWS:
        raise WorkbookError("there is no row '{}'{}; there are {}".format(only, settings_module.nearest(only, ROWS), ", ".join(ROWS)))
    chosen = [pair for pair in zoo.VOC_VAL if only in (None, pair[1].name)]
    if checkpoint and len({row.name for row, _ in chosen}) > 1:
        raise WorkbookError("checkpoint {} is for one row: name it with --only, one of {}".format(checkpoint, ", ".join(ROWS)))
    return chosen


def _data(data_root):
    default = os.path.join(paths.ROOT, recipes.VOC)
    if data_root is None and not os.path.isdir(default):
        raise WorkbookError("{} does not exist: `deeplab-nb fetch voc` brings it (2.0 GB), or give --data VOC_ROOT".format(default))
    return voc.check_root(data_root or default)


def _row(row, number, folder, root, list_name, checkpoint, weights, base):
    """The results of one row, or {"error": sentence} where its checkpoint does not come."""
    if checkpoint:
        prefix = find_checkpoint(checkpoint)
        if misfit(prefix, row):
            raise WorkbookError("checkpoint {} is not {}: {}".format(prefix, row.name, misfit(prefix, row)))
    else:
        try:
            prefix = fetch_weights(row.name, weights, base=base)
        except WorkbookError as error:
            print("{}: not evaluated, {}".format(number.name, error), flush=True)
            return {"error": str(error)}
    settings = settings_module.override(recipes.get("published_" + number.name).settings, {"data_root": root, "val_list": list_name})
    results = _evaluated(settings, prefix, folder, number.name)
    results.update(weights=row.name, weights_given=bool(checkpoint))
    write_json(os.path.join(folder, "eval", "results.json"), results)
    return results


def _evaluated(settings, prefix, folder, name):
    """Results of the whole list: those that are there, or what is still to be counted, which is kept as it comes."""
    ids = voc.read_list(settings.data_root, settings.val_list)
    digest = _digest(settings, prefix, ids)
    done = _finished(folder, digest)
    if done:
        return done
    with Predictor(settings, prefix, engine="auto", images=len(ids)) as predictor:
        kept = os.path.join(folder, "counts-{}.npz".format(digest))
        options = dict(predictor=predictor, kept=kept)
        measured = count(settings, None, ids=ids[:MEASURED if settings.eval_scales == (1.0,) else 2], **options)
        print("{}: {:.2f} s an image here, so about {} for {:,} images; {:,} are counted".format(
            name, measured.seconds, duration(measured.seconds * len(ids)), len(ids), len(load_counts(kept).confusions)), flush=True)
        results = summarise(count(settings, None, **options)).results
    return dict(results, digest=digest, memory=round(peak_memory()))


def _digest(settings, prefix, ids):
    """Of all that the counts depend on."""
    digest = hashlib.sha256(json.dumps([settings_module.as_dict(settings), ids], sort_keys=True).encode())
    for block in blocks(prefix):
        digest.update(block)
    return digest.hexdigest()[:16]


def _finished(folder, digest):
    """The results that an earlier run wrote of the same, or None."""
    try:
        with open(os.path.join(folder, "eval", "results.json")) as file:
            results = json.load(file)
        return results if results["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def table(outcomes):
    """Plain text: a line a row, and a difference only for the whole of VOC 2012 val."""
    lines = ["{:22s} {:>10s} {:>10s} {:>10s} {:>12s} {:>12s}".format(
        "mIoU %", "expected", "measured", "difference", "s an image", "memory, MiB")]
    for number, results in outcomes:
        start = "{:22s} {:10.2f} ".format(number.name, number.miou)
        if "error" in results:
            lines.append(start + "not evaluated: " + results["error"])
            continue
        measured, whole = 100 * results["miou"], results["whole_list"] and results["list"] == number.list
        lines.append("{}{:10.2f} {:>10s} {:12.3f} {:12,d}{}".format(
            start, measured, "{:+.2f}".format(measured - number.miou) if whole else "-", results["seconds_an_image"],
            results["memory"], "" if whole else "   not compared: " + _part(results)))
    return "\n".join(lines + ["memory: the most that the process has held so far, with what the rows above left"])


def _part(results):
    official = voc.LIST_SIZES.get(results["list"])
    if results["list"] == "val":
        return "{} of the {:,} images of VOC 2012 val".format(results["images"], official)
    return "{} images of list {}, not VOC 2012 val".format(results["images"], results["list"])
