"""What a command line of the originals asks for, in our settings; nothing is touched yet."""

import collections
import os

from deeplab_nb.errors import WorkbookError
from deeplab_nb.originals import CONFIG, DERIVED, EVAL, NETWORK, NOTES, ONLY, PLACES, SILENT, TRAIN
from deeplab_nb.published import flags
from deeplab_nb.runs.parameters import parse_assignments
from deeplab_nb.settings import Settings

# mindspore: whose command it is; recipe: what the values, {setting: text or number}, change, '' for
# none; data, split: folder and list as the originals name them; folder: for all that is written;
# given: {flag: text}; epochs: 0 where there are steps
Request = collections.namedtuple(
    "Request",
    "mindspore recipe values data split folder notes given cards epochs",
    defaults=(1, 0),
)

# train.py's defaults, where they differ from the recipe, which is made of the port's script
_DEFAULTS = {
    "backbone": "mobilenet_v2",
    "aspp": False,
    "decoder": False,
    "train_steps": 30000,
    "train_batch_size": 8,
    "fine_tune_batch_norm": True,
    "initial_checkpoint": "",
    "save_minutes": 20,
}
_DATASETS = {"pascal_voc_seg": {}, "cityscapes": {"num_classes": 19}}
_PRECISIONS = {
    "allow_mix_precision": True,
    "must_keep_origin_dtype": False,
    "allow_fp32_to_fp16": False,
}

# flags that the functions here read, of each command
_SEPARABLE = ("aspp_with_separable_conv", "decoder_use_separable_conv")
_HEAD = (
    "atrous_rates",
    "decoder_output_stride",
    "dry_run",
    *_SEPARABLE,
    *SILENT,
)
_TRAIN = _HEAD + (
    "dataset",
    "dataset_dir",
    "train_split",
    "train_logdir",
    "train_crop_size",
    "initialize_last_layer",
    "save_interval_secs",
    "clone_on_cpu",
    "adam_learning_rate",
    "precision_mode",
    "over_dump",
    "profiling",
    *flags.OURS,
)
_EVAL = _HEAD + ("dataset", "dataset_dir", "eval_split", "eval_logdir", "checkpoint_dir")
_CONFIG = _HEAD + (
    "data_url",
    "dataset_url",
    "device_id",
    "distribute",
    "epoch_size",
    "cards",
    "rank_table",
)
_LEADS = {"data_url", "dataset_url", "checkpoint_url", "device_id", "distribute", "epoch_size"}
KNOWN = {*TRAIN, *EVAL, *NETWORK, *CONFIG, *DERIVED, *PLACES, *ONLY, *NOTES, *_TRAIN, "set"}


def training(words):
    """The `Request` of a train.py's words. Raises WorkbookError for what cannot be done."""
    return _request(words, _mindspore_training, _training)


def evaluation(words):
    """The `Request` of an eval.py; its values of the network say what the checkpoint holds."""
    return _request(words, _mindspore_evaluation, _evaluation)


def _request(words, mindspore, tensorflow):
    given, assignments = flags.parse(words, KNOWN)
    own = parse_assignments(assignments)
    request = (mindspore if _LEADS & set(given) else tensorflow)(given, own)
    request.values.update(own)
    return request


def _training(given, own):
    data, folder = _needed(given, "dataset_dir", "train_logdir")
    values, notes = flags.settings_of(given, {**TRAIN, **NETWORK}, _TRAIN)
    if "precision_mode" not in given:
        notes.append(
            "mixed precision, as in Huawei's port: float32 is "
            "--precision_mode=must_keep_origin_dtype"
        )
    cards = _whole(given, "cards", os.environ.get("RANK_SIZE") or 1)
    values = {
        **_DEFAULTS,
        **values,
        **_head(given, values.get("output_stride", 16)),
        **_dataset(given, own),
        **_other_forms(given),
        **_ascend(given, folder),
    }
    split, recipe = given.get("train_split", "train"), _recipe("deeplabv3plus", cards)
    return Request(False, recipe, values, data, split, folder, notes, given, cards)


def _mindspore_training(given, own):
    values, notes = flags.settings_of(given, CONFIG, _CONFIG)
    ranks = os.environ.get("RANK_SIZE") or 8 if _is(given, "distribute") else 1
    cards, checkpoint = _whole(given, "cards", ranks), given.get("checkpoint_url", "")
    values.update(_head(given, values.get("output_stride", 16)), initial_checkpoint=checkpoint)
    if not checkpoint:
        values["trainable"] = "all"
        notes.append(
            "no checkpoint is given: this starts from random weights and trains all layers, batch "
            "norm's scale and shift too"
        )
    notes.append("checkpoints are TensorFlow's: LOG0/chec_deeplabv3-EPOCH_STEP.ckpt leads to one")
    data, recipe = _data_url(given), _recipe("deeplabv3_mindspore", cards)
    epochs = _whole(given, "epoch_size", 6)
    return Request(True, recipe, values, data, "train", "LOG0", notes, given, cards, epochs)


def _evaluation(given, own):
    data, folder, checkpoint = _needed(given, "dataset_dir", "eval_logdir", "checkpoint_dir")
    values, notes = flags.settings_of(given, {**EVAL, **NETWORK}, _EVAL)
    values.update(
        _head(given, values.get("eval_output_stride", 16)),
        **_DATASETS.get(given.get("dataset"), {}),
        initial_checkpoint=checkpoint,
    )
    if values.get("eval_flip") == "true" and values.get("eval_scales", "1.0") == "1.0":
        notes.append("mirrored images count here; the original leaves them out at a single scale")
    split = given.get("eval_split", "val")
    return Request(False, "", values, data, split, folder, notes, given)


def _mindspore_evaluation(given, own):
    direct = {**CONFIG, "output_stride": "eval_output_stride"}
    values, notes = flags.settings_of(given, direct, _CONFIG)
    data, (checkpoint,) = _data_url(given), _needed(given, "checkpoint_url")
    values.update(_head(given, values.get("eval_output_stride", 16)), initial_checkpoint=checkpoint)
    notes.append(
        "mIoU is the entry's own, a mean over batches of two images; VOC's of the same "
        "predictions stands above it"
    )
    return Request(True, "deeplabv3_mindspore_1p", values, data, "val", "eval", notes, given)


def _recipe(name, cards):
    return f"{name}_{1 if cards == 1 else 8}p"


def _head(given, stride):
    """Settings of the head, whose atrous rates must be those of the output stride."""
    values, asked = {}, given.get("atrous_rates")
    if asked:
        values["aspp"] = True
        rates = (
            Settings(aspp=True).rates_at(int(stride)) if str(stride) in ("8", "16", "32") else ()
        )
        own = ",".join(map(str, rates))
        if own not in ("", asked):
            raise WorkbookError(
                f"--atrous_rates={asked} do not go with output stride {stride}: give {own}"
            )
    decoder = given.get("decoder_output_stride")
    if decoder:
        values["decoder"] = True
        if decoder != "4":
            raise WorkbookError(
                f"--decoder_output_stride={decoder} is not built here: give 4, or leave it out for "
                "no decoder"
            )
    separable = {_is(given, word) for word in _SEPARABLE if word in given}
    if len(separable) > 1:
        raise WorkbookError(
            "--aspp_with_separable_conv and --decoder_use_separable_conv differ: here both are as "
            "separable_head says, give them one value"
        )
    if separable:
        values["separable_head"] = separable.pop()
    return values


def _dataset(given, own):
    name = given.get("dataset", "pascal_voc_seg")
    if name not in _DATASETS and "num_classes" not in own:
        raise WorkbookError(
            f"--dataset={name} is none of {', '.join(_DATASETS)}: say how many classes it has, "
            "background counted, with --set num_classes=N; 255 is what its masks ignore"
        )
    return _DATASETS.get(name, {})


def _other_forms(given):
    """Settings whose values have another form in the flags."""
    values = {}
    if not _is(given, "initialize_last_layer", "true"):
        logits_only = _is(given, "last_layers_contain_logits_only")
        values["initial_layers"] = "without_logits" if logits_only else "without_last_layers"
    if "train_crop_size" in given:
        side, *others = set(given["train_crop_size"].split(","))
        if others:
            raise WorkbookError(
                f"--train_crop_size={given['train_crop_size']} is no square: crops are square "
                "here, give one side twice"
            )
        values["train_crop_size"] = side
    if "save_interval_secs" in given:
        values["save_minutes"] = _whole(given, "save_interval_secs") / 60
    if _is(given, "clone_on_cpu"):
        values["device"] = "cpu"
    if "decay_steps" in given:
        values["decay_steps"] = _whole(given, "decay_steps")
    if given.get("optimizer") == "adam":
        values["learning_rate"] = given.get("adam_learning_rate", "0.001")
    return values


def _ascend(given, folder):
    """Settings of what the port's scripts parse."""
    mode, values = given.get("precision_mode", "allow_mix_precision"), {}
    if mode not in _PRECISIONS:
        raise WorkbookError(
            f"--precision_mode={mode} is not one of this workbook: give {' or '.join(_PRECISIONS)}"
        )
    if _is(given, "over_dump"):
        values["dump_folder"] = given.get("over_dump_path", os.path.join(folder, "dump"))
    if _is(given, "profiling"):
        values["profiling_folder"] = os.path.join(folder, "profile")
    return dict(values, mixed_precision=_PRECISIONS[mode])


def _needed(given, *names):
    for name in names:
        if not given.get(name):
            raise WorkbookError(f"--{name} is missing: give --{name}=PATH")
    return [given[name] for name in names]


def _data_url(given):
    _whole(given, "device_id")
    return _needed(given, "dataset_url" if "dataset_url" in given else "data_url")[0]


def _whole(given, name, default=0):
    text = given.get(name, default)
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise WorkbookError(f"--{name} needs a whole number, got '{text}'")


def _is(given, name, default="false"):
    return flags.boolean(name, given.get(name, default)) == "true"
