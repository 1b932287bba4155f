"""The published ports' own entry points, by their names and arguments, as commands of ours.

Huawei's DeepLabv3+ for TensorFlow: train_full_1p, train_full_8p. DeepLabv3 of the MindSpore zoo (2020):
run_standalone_train, run_distribute_train, run_eval. What their scripts get wrong is put right, and said.
"""
import collections
import os
import platform
import statistics

from deeplab_nb import paths
from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import SIX_SCALES

# commands: lists of words; environment: for all of them; notes: what is otherwise than in the scripts
Entry = collections.namedtuple("Entry", "recipe folder commands environment notes")

# what an entry left: settings and entries of log.jsonl of its training, None without one; mIoU or None; seconds in all
Outcome = collections.namedtuple("Outcome", "settings log miou seconds")

_CHECKPOINT = os.path.join("xception_65_coco_pretrained", "x65-b2u1s2p-d48-2-3x256-sc-cr300k_init.ckpt")
_EPOCHS = 6  # of the MindSpore entry
_FALSE = ("", "0", "false", "none")


def train_full(cards, *, data_path, ckpt_path, precision_mode="allow_mix_precision", over_dump="False", data_dump_flag="0",
               profiling="False", rank_table=None):
    """train_full_1p or train_full_8p: trains DeepLabv3+ on VOC trainval from weights of COCO, then scores it on val."""
    recipe, folder = "deeplabv3plus_{}p".format(cards), os.path.join(paths.RUNS, "train_full_{}p".format(cards))
    assignments = ["data_root=" + os.path.abspath(data_path),
                   "initial_checkpoint=" + os.path.abspath(os.path.join(ckpt_path, _CHECKPOINT)),
                   "mixed_precision={}".format(_mixed(precision_mode)).lower()]
    if not _off(data_dump_flag):
        raise WorkbookError("--data_dump_flag={} asks for the tensors of every operation: only those that overflow can be "
                            "written, leave it out and give --over_dump=True".format(data_dump_flag))
    assignments += [] if _off(over_dump) else ["dump_folder=" + os.path.join(folder, "dump")]
    assignments += [] if _off(profiling) else ["profiling_folder=" + os.path.join(folder, "profile")]
    notes = ["--data_path is a VOC folder, not one of tfrecord",
             "FPS and step time are medians over the log but its first line, which holds the compilation; "
             "the script takes the last line alone",
             "training sees trainval, so the accuracy on val is not one of unseen images"]
    if cards == 1:
        notes.insert(0, "the script names 300000 steps and trains 3000: this trains the recipe's 300000")
    else:
        notes.insert(0, "the script's TrainingTime, batch x 1000 / FPS, is an eighth of a step's time: here it is the step's")
        notes.insert(1, "the script's rank table holds addresses of its authors' machine: this one is yours, and checked")
    return Entry(recipe, folder, [_training(recipe, cards, folder, assignments, rank_table), _evaluation(folder, data_path)],
                 {}, notes)


def run_standalone_train(device_id, data_path, checkpoint=None):
    """run_standalone_train DEVICE_ID DATA_PATH [CKPT]: DeepLabv3 of the MindSpore zoo on one card."""
    return _mindspore("run_standalone_train", 1, data_path, checkpoint, {"ASCEND_DEVICE_ID": _device(device_id)}, None)


def run_distribute_train(rank_table, data_path, checkpoint=None):
    """run_distribute_train RANK_TABLE_FILE DATA_PATH [CKPT]: the same on eight cards."""
    return _mindspore("run_distribute_train", 8, data_path, checkpoint, {}, rank_table)


def run_eval(device_id, data_path, checkpoint):
    """run_eval DEVICE_ID DATA_PATH CKPT: scores a checkpoint of either."""
    folder = os.path.join(paths.RUNS, "run_eval")
    command = _evaluation(folder, data_path, os.path.abspath(checkpoint)) + [
        "--protocol", "mindspore", "--scales", ",".join(map(str, SIX_SCALES))]
    return Entry("deeplabv3_mindspore_1p", folder, [command], {"ASCEND_DEVICE_ID": _device(device_id)},
                 ["DATA_PATH is a VOC folder, not one of Images and SegmentationClassRaw",
                  "mIoU is the entry's own, a mean over batches of two; VOC's of the same predictions stands above it"])


def _mindspore(name, cards, data_path, checkpoint, environment, rank_table):
    recipe, folder = "deeplabv3_mindspore_{}p".format(cards), os.path.join(paths.RUNS, name)
    notes = ["DATA_PATH is a VOC folder, not one of Images and SegmentationClassRaw"]
    assignments = ["data_root=" + os.path.abspath(data_path)]
    if checkpoint:
        assignments.append("initial_checkpoint=" + os.path.abspath(checkpoint))
    else:
        assignments += ["initial_checkpoint=", "trainable=all"]
        notes.append("without CKPT the script hands on an empty name and tries to load it: this starts from random weights and "
                     "trains all layers, batch norm's scale and shift too")
    notes.append("the epoch's time printed is the step's times the steps: the README's two figures contradict each other")
    if cards > 1:
        notes.append("the script looks at neither rank table nor ranks: here the table is checked, and one failing rank ends all")
    return Entry(recipe, folder, [_training(recipe, cards, folder, assignments, rank_table)], environment, notes)


def summary(entry, outcome):
    """The lines that the published scripts end with, by their names."""
    if outcome.log is None:
        return "mIoU = {}".format(outcome.miou)
    return _mindspore_lines(outcome) if "mindspore" in entry.recipe else _tensorflow_lines(outcome)


def _tensorflow_lines(outcome):
    settings, seconds = outcome.settings, _step_seconds(outcome.log)
    lines = [("Network", "DeepLabv3plus"), ("RankSize", settings.cards), ("BatchSize", settings.train_batch_size),
             ("DeviceType", platform.machine()),
             ("CaseName", "DeepLabv3plus_bs{}_{}p_acc".format(settings.train_batch_size, settings.cards)),
             ("ActualFPS", "{:.2f}".format(settings.global_batch_size / seconds)), ("TrainingTime", "{:.2f}".format(1000 * seconds)),
             ("TrainAccuracy", "not evaluated" if outcome.miou is None else "{:.4f}".format(outcome.miou)),
             ("ActualLoss", "{:.4f}".format(outcome.log[-1]["loss"])), ("E2ETrainingTime", "{:.0f}".format(outcome.seconds))]
    return "\n".join("{} = {}".format(*line) for line in lines)


def _mindspore_lines(outcome):
    steps, seconds = max(outcome.settings.train_steps // _EPOCHS, 1), _step_seconds(outcome.log)
    lines = ["epoch: {} step: {}, loss is {:.6f}".format(_EPOCHS, steps, outcome.log[-1]["loss"]),
             "Epoch time: {:.3f}, per step time: {:.3f}".format(1000 * seconds * steps, 1000 * seconds)]
    return "\n".join(lines + ([] if outcome.miou is None else ["mIoU = {}".format(outcome.miou)]))


def _step_seconds(log):
    """Median seconds a step; the first line holds the compilation and is left out where there are others."""
    if not log:
        raise WorkbookError("the training wrote no log line: set log_every to fewer than its steps")
    return statistics.median(line["seconds_a_step"] for line in log[1:] or log)


def _training(recipe, cards, folder, assignments, rank_table):
    words = ["deeplab-nb", "launch", recipe, "--cards", str(cards)]
    for assignment in assignments:
        words += ["--set", assignment]
    return words + (["--rank-table", os.path.abspath(rank_table)] if rank_table else []) + ["--out", folder]


def _evaluation(folder, data_path, checkpoint=None):
    return ["deeplab-nb", "evaluate", "--checkpoint", checkpoint or os.path.join(folder, "train"), "--data", os.path.abspath(data_path),
            "--list", "val", "--json", os.path.join(folder, "eval", "results.json")]


def _mixed(precision_mode):
    modes = {"allow_mix_precision": True, "must_keep_origin_dtype": False}
    if precision_mode not in modes:
        raise WorkbookError("--precision_mode={} is not one of this workbook: give {}".format(precision_mode, " or ".join(modes)))
    return modes[precision_mode]


def _off(flag):
    return str(flag).lower() in _FALSE


def _device(device_id):
    if device_id not in map(str, range(8)):
        raise WorkbookError("DEVICE_ID {} is no card: a server's cards are 0 to 7".format(device_id))
    return device_id
