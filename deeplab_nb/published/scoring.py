"""A `translation.Request` of an eval.py, scored."""

import os

import numpy as np

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data import layouts
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.files import write_json
from deeplab_nb.network.checkpoints import describe, find_checkpoint


def run(request):
    """Scores the newest checkpoint and prints the original's lines; writes results.json."""
    folder = os.path.abspath(request.folder)
    data = layouts.find(os.path.abspath(request.data), request.split)
    path = request.values["initial_checkpoint"]
    several = os.path.join(path, "train")  # where a launch of several ranks leaves theirs
    checkpoint = find_checkpoint(several if os.path.isdir(several) else path)
    settings = _settings(request, describe(checkpoint), layouts.voc_root(data, folder))
    if "dry_run" in request.given:
        return
    layouts.lay_out(data, folder)
    settings = settings_module.override(settings, {"val_list": data.name})
    evaluation = evaluate(settings, checkpoint, engine="auto")
    write_json(os.path.join(folder, "results.json"), evaluation.results)
    print(evaluation.scores.table(list(evaluation.results["classes"])))
    print("\n".join(_lines(request.mindspore, settings, evaluation)))


def _settings(request, held, root):
    """The evaluation's settings; the checkpoint's network must be what the flags say."""
    start = recipes.get(request.recipe).settings if request.recipe else settings_module.Settings()
    values = {name: value for name, value in request.values.items() if name != "initial_checkpoint"}
    settings = settings_module.override(start, {**held, "data_root": root, **values})
    for name, value in held.items():
        if getattr(settings, name) != value:
            raise WorkbookError(
                f"checkpoint {request.values['initial_checkpoint']} holds a network with {name}="
                f"{value}, the flags say {getattr(settings, name)}: correct them"
            )
    return settings


def _lines(mindspore, settings, evaluation):
    """The original's last lines. TensorFlow's mean counts classes that are only predicted, as 0."""
    if mindspore:
        return [f"mIoU = {evaluation.results['miou']}"]
    scores, flipped = evaluation.scores, "_flipped" if settings.eval_flip else ""
    tag = f"eval/miou_{'_'.join(map(str, settings.eval_scales))}{flipped}"
    counted = scores.present | scores.only_predicted
    overall = float(np.nansum(scores.iou) / max(counted.sum(), 1))
    return [f"{tag}_overall[{overall:.6g}]"] + [
        f"{tag}_class_{number}[{iou:.6g}]" for number, iou in enumerate(scores.iou)
    ]
