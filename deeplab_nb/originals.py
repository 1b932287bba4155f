"""The originals' words for what is a setting here: for their flags, and for one who uses --set.

Sources: the flags of train.py, eval.py and common.py in research/deeplab of tensorflow/models and
in Huawei's port of it; config.py and the arguments of DeepLabV3 in the MindSpore zoo (2020).
"""


def _same(words):
    """{word: word} of those that are called alike here."""
    return {word: word for word in words.split()}


# the setting that takes a word's value as it is
TRAIN = {
    "training_number_of_steps": "train_steps",
    "base_learning_rate": "learning_rate",
    "learning_policy": "learning_rate_policy",
    "learning_power": "learning_rate_power",
    "min_scale_factor": "min_scale",
    "max_scale_factor": "max_scale",
    "scale_factor_step_size": "scale_step",
    "tf_initial_checkpoint": "initial_checkpoint",
    "log_steps": "log_every",
    "profile_logdir": "profiling_folder",
    "num_clones": "clones",
    "label_weights": "class_weights",
    **_same(
        "train_batch_size momentum weight_decay optimizer end_learning_rate decay_steps "
        "learning_rate_decay_factor learning_rate_decay_step last_layer_gradient_multiplier "
        "last_layers_contain_logits_only upsample_logits slow_start_step slow_start_learning_rate "
        "fine_tune_batch_norm hard_example_mining_step top_k_percent_pixels output_stride "
        "min_resize_value max_resize_value resize_factor"
    ),
}
EVAL = {
    "output_stride": "eval_output_stride",
    "eval_scales": "eval_scales",
    "add_flipped_images": "eval_flip",
}
NETWORK = {
    "model_variant": "backbone",
    "depth_multiplier": "depth_multiplier",
    "multi_grid": "multi_grid",
}
CONFIG = {
    "batch_size": "train_batch_size",
    "seg_num_classes": "num_classes",
    "crop_size": "train_crop_size",
    "checkpoint_url": "initial_checkpoint",
    "save_checkpoint_steps": "save_every",
    "save_checkpoint_num": "keep_checkpoints",
    **_same(
        "learning_rate momentum weight_decay output_stride fine_tune_batch_norm ignore_label "
        "eval_scales"
    ),
}

# words whose value takes another form here, and how
DERIVED = {
    "atrous_rates": "aspp, and the rates follow from output_stride: 6, 12, 18 at 16",
    "decoder_output_stride": "decoder, always at output stride 4",
    "aspp_with_separable_conv": "separable_head, of atrous branches and decoder alike",
    "decoder_use_separable_conv": "separable_head, of atrous branches and decoder alike",
    "train_crop_size": "train_crop_size, one side of a square",
    "initialize_last_layer": "initial_layers",
    "dataset": "num_classes and ignore_label",
    "save_interval_secs": "save_minutes",
    "clone_on_cpu": "device",
    "adam_learning_rate": "learning_rate, with optimizer=adam",
    "precision_mode": "mixed_precision",
    "over_dump": "dump_folder",
    "profiling": "profiling_folder",
    "epoch_size": "train_steps, epochs times images // (train_batch_size x cards)",
}
PLACES = {  # data, folders and cards
    "dataset_dir": "data_root",
    "train_split": "train_list",
    "eval_split": "val_list",
    "data_url": "data_root",
    "dataset_url": "data_root",
    "data_path": "data_root",
    "checkpoint_dir": "initial_checkpoint",
    "ckpt_path": "initial_checkpoint",
    "distribute": "cards",
    "train_logdir": "the option --out",
    "eval_logdir": "the option --json of `deeplab-nb evaluate`",
    "device_id": "the variable ASCEND_DEVICE_ID",
}

# words of which one value is done here, or several that come to the same, and why no other is
ONLY = {
    "logits_kernel_size": ("1", "the class layer is a 1x1 convolution"),
    "add_image_level_feature": ("true", "the head always pools over the image"),
    "aspp_with_batch_norm": ("true", "the head always has batch norm"),
    "aspp_with_concat_projection": ("true", "the head's branches are always joined and projected"),
    "aspp_with_squeeze_and_excitation": ("false", "MobileNetV3's head is not built here"),
    "aspp_convs_filters": ("256", "the head's branches have 256 channels"),
    "decoder_filters": ("256", "the decoder has 256 channels"),
    "decoder_use_sum_merge": ("false", "the decoder joins its inputs, it does not add them"),
    "decoder_output_is_logits": ("false", "a class layer follows the decoder"),
    "image_pooling_stride": ("1,1", "the head pools over the whole image"),
    "image_pyramid": ("1.0 1 none", "training sees one scale of an image"),
    "use_bounded_activation": ("false", "networks for quantised inference are not built here"),
    "quantize_delay_step": ("-1", "training with quantisation is not built here"),
    "dense_prediction_cell_json": ("", "the searched cell is not built here"),
    "divisible_by": ("8 none", "channels are rounded as in the published checkpoints"),
    "drop_path_keep_prob": ("1.0 1", "searched networks are not built here"),
    "nas_use_classification_head": ("false", "searched networks are not built here"),
    "nas_remove_os32_stride": ("false", "searched networks are not built here"),
    "image_se_uses_qsigmoid": ("false", "MobileNetV3's head is not built here"),
    "prediction_with_upsampled_logits": ("true", "classes are told after the logits are upsampled"),
    "keep_aspect_ratio": ("true", "images keep their proportions"),
    "num_replicas": ("1", "several processes are started with --cards=N"),
    "num_ps_tasks": ("0", "ranks average their gradients without parameter servers: --cards=N"),
    "master": ("", "no TensorFlow server is asked, ranks are started with --cards=N"),
    "task": ("0", "ranks are numbered by whoever starts them: --cards=N"),
    "data_dump_flag": ("false", "only tensors that overflow are written: --over_dump=True"),
    "autotune": ("false", "CANN's tuning is not switched on from here"),
}
NOTES = {  # words that change nothing here: what is done instead
    "startup_delay_steps": "ranks start together",
    "save_summaries_secs": "TensorBoard's events are written every log_steps",
    "save_summaries_images": "one training crop is always kept for TensorBoard",
    "merge_method": "there is one scale, so nothing is merged",
    "image_pooling_crop_size": "the head pools over all features, whatever the image's size",
    "batch_norm_decay": "each layer keeps its published decay; the original uses this nowhere",
    "nas_stem_output_num_conv_filters": "searched networks are not built here",
    "adam_epsilon": "Adam's epsilon is 1e-5 and its second decay 0.98",
    "data_dump_step": "no step's tensors are dumped",
    "data_dump_path": "no step's tensors are dumped",
    "eval_batch_size": "images are labelled one at a time",
    "eval_crop_size": "the frame follows from the list's largest photograph",
    "eval_interval_secs": "the newest checkpoint is evaluated once",
    "max_number_of_evaluations": "the newest checkpoint is evaluated once",
    "max_checkpoint_num": "save_checkpoint_num says how many checkpoints stay",
    "enable_save_ckpt": "checkpoints are always written, so that the same command resumes",
}
SILENT = ("logtostderr", "alsologtostderr", "stderrthreshold", "verbosity", "v", "log_dir")


def meaning(word):
    """What stands here in a word's place, as a sentence's end; '' for no original's word."""
    for names in (TRAIN, {**EVAL, **NETWORK, **CONFIG}, DERIVED, PLACES):
        if word in names:
            return f"here that is {names[word]}"
    return ONLY.get(word, ("", ""))[1] or NOTES.get(word, "")
