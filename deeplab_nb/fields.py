"""Every setting of a run, with all that is known of it.

Values that must move together are properties here and are asked for nowhere else. `settings` reads
and changes them, strictly.
"""

import dataclasses
from typing import NewType, Optional, Tuple

from deeplab_nb import ascend_profiles

ClassWeights = NewType("ClassWeights", Tuple[float, ...])  # may be empty and hold 0, unlike scales


def _setting(default, doc, choices=None, at_least=None, **known):
    """A dataclass field that carries its explanation, its limits and what else is known of it.

    resumable: may differ when a run goes on in its folder, as long as a step takes as many images;
      anything else would make the log a lie.
    network: a trained network's logits depend on it, beside its weights.
    path: holds the path of a file or folder; '' is none.
    quick: the value in a quick validation while training: a curve to steer by, not to report.
    """
    return dataclasses.field(
        default=default, metadata={"doc": doc, "choices": choices, "at_least": at_least, **known}
    )


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings. Build them with `settings.read`, change them with `settings.override`."""

    # a table, so one field below the other in as few lines as it needs
    # fmt: off
    # --- data
    data_root: str = _setting(
        "data/sample/VOCdevkit/VOC2012", "folder that holds JPEGImages, SegmentationClass and "
        "ImageSets", resumable=True, path=True)
    train_list: str = _setting("train", "name of the training list in ImageSets/Segmentation")
    val_list: str = _setting("val", "name of the evaluation list", resumable=True)
    num_classes: int = _setting(
        21, "classes with background; VOC has 20 + 1", at_least=2, network=True)
    ignore_label: int = _setting(
        255, "mask value that neither trains nor counts (VOC's object borders)")

    # --- network
    backbone: str = _setting(
        "mobilenet_v2", "feature extractor",
        choices=("mobilenet_v2", "xception_41", "xception_65", "xception_71",
                 "resnet_v1_50_beta", "resnet_v1_101_beta"), network=True)
    depth_multiplier: float = _setting(
        1.0, "width of MobileNetV2; 0.5 halves every channel count", at_least=0.1, network=True)
    output_stride: int = _setting(
        16, "image size / feature size while training", choices=(8, 16, 32), network=True)
    multi_grid: Tuple[int, ...] = _setting(
        (1, 1, 1), "factors of the last block's three atrous rates; 1,2,4 in the DeepLabv3 paper, "
        "1,1,1 in the published checkpoints; not for MobileNetV2", network=True)
    aspp: bool = _setting(
        False, "atrous branches in the head; their rates follow from the output stride",
        network=True)
    decoder: bool = _setting(False, "DeepLabv3+ decoder at output stride 4", network=True)
    separable_head: bool = _setting(
        True, "False: full 3x3 convolutions in head and decoder, as in the DeepLabv3 paper",
        network=True)

    # --- start
    initial_checkpoint: str = _setting(
        "", "weights to start from: folder, prefix or any of its files, or a MindSpore .ckpt; '' "
        "is random", resumable=True, path=True)
    initial_layers: str = _setting(
        "all", "what of that checkpoint to take: 'without_logits' for other classes in equal "
        "number, 'without_last_layers' leaves head and decoder fresh too",
        choices=("all", "without_logits", "without_last_layers"))
    trainable: str = _setting(
        "all", "'head_kernels' moves only the convolution kernels after the backbone: four "
        "without decoder and atrous branches, as the MindSpore entry trains",
        choices=("all", "head_kernels"))

    # --- training
    train_steps: int = _setting(
        30000, "optimiser steps; 0 evaluates the initial checkpoint", at_least=0, resumable=True)
    train_batch_size: int = _setting(16, "images a step on one card", at_least=1, resumable=True)
    train_crop_size: int = _setting(513, "side of the square training crop, in pixels", at_least=33)
    min_resize_value: int = _setting(
        0, "short side that training images are resized to before augmentation; 0 leaves their "
        "size", at_least=0)
    max_resize_value: int = _setting(
        0, "longest side after that resizing; 0 is no limit", at_least=0)
    resize_factor: int = _setting(
        0, "sides after that resizing are multiples of this plus 1; 0 leaves them", at_least=0)
    augmentation: str = _setting(
        "deeplab", "'deeplab': scale, pad with 255, crop, flip; 'mindspore': short side 0.5..2 "
        "times the crop (256..1026), mask padded with 0", choices=("deeplab", "mindspore"))
    min_scale: float = _setting(
        0.5, "smallest random scale, of the image or, with mindspore, of the crop", at_least=0.1)
    max_scale: float = _setting(2.0, "largest random scale", at_least=0.1)
    scale_step: float = _setting(
        0.25, "distance between the scales drawn; 0 draws from the whole range; not for mindspore",
        at_least=0)
    learning_rate: float = _setting(7e-3, "rate of step 0", at_least=0)
    learning_rate_policy: str = _setting(
        "poly", "'poly' and 'cosine' fall until the last step, 'step' by a factor at intervals",
        choices=("poly", "step", "cosine", "constant"))
    learning_rate_power: float = _setting(0.9, "exponent of 'poly'", at_least=0)
    end_learning_rate: float = _setting(0.0, "where 'poly' ends", at_least=0)
    decay_steps: int = _setting(
        0, "steps that 'poly' takes to its end; 0 is all that follow the slow start", at_least=0)
    learning_rate_decay_factor: float = _setting(
        0.1, "what 'step' multiplies the rate by", at_least=0)
    learning_rate_decay_step: int = _setting(2000, "steps between two falls of 'step'", at_least=1)
    slow_start_step: int = _setting(0, "steps before the schedule starts", at_least=0)
    slow_start_learning_rate: float = _setting(1e-4, "rate of these steps", at_least=0)
    slow_start_type: str = _setting(
        "constant", "'linear' climbs from that rate to learning_rate",
        choices=("constant", "linear"))
    last_layer_gradient_multiplier: float = _setting(
        1.0, "times the gradients after the backbone; no effect on Adam", at_least=0)
    last_layers_contain_logits_only: bool = _setting(
        False, "True: that multiplier is for the class layer alone")
    bias_gradient_multiplier: float = _setting(
        1.0, "times the gradients of biases; always 2 in the original", at_least=0)
    optimizer: str = _setting(
        "momentum", "'adam' learns faster from random weights", choices=("momentum", "adam"))
    momentum: float = _setting(0.9, "of the momentum optimiser, and Adam's first decay", at_least=0)
    weight_decay: float = _setting(
        4e-5, "times sum(w^2)/2 over every convolution kernel but the depthwise ones", at_least=0)
    loss_stride: int = _setting(
        1, "2 compares every second row and column of the mask only: a quarter of the loss's time",
        choices=(1, 2))
    upsample_logits: bool = _setting(
        True, "False: compare at the logits' size, with the nearest pixels of the mask")
    class_weights: ClassWeights = _setting(
        (), "factor of each class's losses, num_classes of them; none is 1 for all")
    top_k_percent_pixels: float = _setting(
        1.0, "share of the pixels that count, the hardest first; 0.25 is a quarter")
    hard_example_mining_step: int = _setting(
        0, "steps in which that share falls from 1 to its value; 0 starts with it", at_least=0)
    fine_tune_batch_norm: bool = _setting(
        True, "use and update batch statistics; False keeps the stored ones")
    batch_norm_decay: Optional[float] = _setting(
        None, "of the moving statistics; none keeps each layer's published decay")
    seed: int = _setting(1, "of weights, shuffling and augmentation")

    # --- hardware
    device: str = _setting(
        "auto", "'auto' takes an NPU where npu_bridge is installed, else a GPU that TensorFlow "
        "sees, else the CPU", choices=("auto", "cpu", "gpu", "npu"), resumable=True)
    ascend_profile: str = _setting(
        "auto", "CANN version and card: 'auto' takes what this machine has, and cann5-910, the "
        "published ports', where it has none", choices=("auto",) + ascend_profiles.NAMES,
        resumable=True)
    intra_op_threads: int = _setting(
        0, "threads within one operation; 0 is TensorFlow's choice, 1 makes a run repeatable bit "
        "for bit", at_least=0, resumable=True)
    clones: int = _setting(
        1, "networks that share a step's batch on a CPU, a thread each: 2 on two cores took the "
        "sample's step from 0.24 to 0.13 s; each has its own batch statistics", at_least=1,
        resumable=True)
    cards: int = _setting(
        1, "processes that train together, on one server or several", at_least=1, resumable=True)
    mixed_precision: bool = _setting(
        False, "float16 where the Ascend compiler or TensorFlow's GPU rewrite finds it safe; a "
        "CPU simulates its rounding")
    mixed_type: str = _setting(
        "float16", "what mixed precision computes in; bfloat16, with the range of float32, on an "
        "Ascend A2 or A3 only", choices=("float16", "bfloat16"))
    deterministic: bool = _setting(
        False, "Ascend since CANN 8 only: kernels that sum in the same order each time, slower")
    mixlist: str = _setting(
        "", "Ascend only: JSON file that says which operations may be float16, in place of the "
        "compiler's list", path=True)
    loss_scale: str = _setting(
        "none", "factor on the loss so that small gradients survive float16: 'fixed', or "
        "'exponential', which falls at overflows and climbs again",
        choices=("none", "fixed", "exponential"))
    # each halving costs two skipped steps: the published eight-card run's 2^32 would lose 32 on
    # the way down to 2^16
    initial_loss_scale: float = _setting(
        65536.0, "the fixed factor, or the exponential's first", at_least=1)
    loss_scale_steps: int = _setting(
        1000, "steps without overflow before 'exponential' doubles", at_least=1)
    dump_folder: str = _setting(
        "", "Ascend only: folder for the tensors of operations that overflow; '' dumps none",
        resumable=True, path=True)
    profiling_folder: str = _setting(
        "", "Ascend only: folder for a profile of the training steps; '' makes none",
        resumable=True, path=True)

    # --- bookkeeping
    log_every: int = _setting(10, "steps between log lines", at_least=1, resumable=True)
    save_every: int = _setting(500, "steps between checkpoints", at_least=1, resumable=True)
    save_minutes: float = _setting(
        0.0, "minutes after which one is saved all the same; 0 goes by steps alone", at_least=0,
        resumable=True)
    keep_checkpoints: int = _setting(3, "newest checkpoints kept", at_least=1, resumable=True)

    validate_every: int = _setting(
        0, "steps between quick validations; 0 makes none", at_least=0, resumable=True)
    validation_images: int = _setting(
        32, "of val_list, evenly spread, that a quick validation scores", at_least=1,
        resumable=True)

    # --- evaluation
    eval_output_stride: int = _setting(
        16, "output stride while evaluating", choices=(8, 16, 32), resumable=True)
    eval_scales: Tuple[float, ...] = _setting(
        (1.0,), "image scales whose probabilities are averaged", resumable=True, quick=(1.0,))
    eval_flip: bool = _setting(
        False, "average with the flipped image too", resumable=True, quick=False)
    eval_protocol: str = _setting(
        "deeplab", "'deeplab': whole image padded to the list's largest; 'tight': padded to the "
        "nearest sides, quicker and up to 1.5 points lower, since image pooling sees less of the "
        "grey; 'native': not padded; 'mindspore': centre crop, mean of per-batch mIoU",
        choices=("deeplab", "tight", "native", "mindspore"), resumable=True, quick="deeplab")

    # fmt: on

    # --- derived: never asked for
    @property
    def atrous_rates(self):
        """ASPP rates of training, `()` without atrous branches (DeepLabv3, section 3.3)."""
        return self.rates_at(self.output_stride)

    def at(self, output_stride):
        """The same settings at another output stride."""
        return dataclasses.replace(self, output_stride=output_stride)

    def for_evaluation(self):
        """The same settings at the output stride of evaluation."""
        return self.at(self.eval_output_stride)

    def rates_at(self, output_stride):
        """6, 12, 18 at output stride 16, doubled at 8, halved at 32."""
        return tuple(rate * 16 // output_stride for rate in (6, 12, 18)) if self.aspp else ()

    @property
    def global_batch_size(self):
        return self.train_batch_size * self.cards


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def known(kind):
    """{name: value} of the settings of which a kind of knowledge is recorded, see `_setting`."""
    return {name: field.metadata[kind] for name, field in FIELDS.items() if kind in field.metadata}
