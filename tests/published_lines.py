"""Command lines as users of the originals type them: what each comes to here.

Rows: (command, settings that differ from the originals' defaults here, words of its notes). Flags and values are those of
the published guides, scripts and issue threads; paths are ours. TRAIN and EVAL of DeepLab's train.py and eval.py,
MINDSPORE_TRAIN and MINDSPORE_EVAL of the entry's.
"""
XCEPTION = "--model_variant=xception_65 --atrous_rates=6 --atrous_rates=12 --atrous_rates=18 --output_stride=16 " \
           "--decoder_output_stride=4"
OUT = "--train_logdir=log --dataset_dir=/data/tfrecord"
AT_OUT = "--checkpoint_dir=log --eval_logdir=eval --dataset_dir=/data/tfrecord"
PLUS = dict(backbone="xception_65", aspp=True, decoder=True)

TRAIN = [
    # the guide's local job on VOC, crop once as one flag and once as two
    (f'--logtostderr --training_number_of_steps=30000 --train_split="train" {XCEPTION} --train_crop_size="513,513" '
     f'--train_batch_size=1 --dataset="pascal_voc_seg" --tf_initial_checkpoint=/w/model.ckpt {OUT}',
     dict(PLUS, train_steps=30000, train_batch_size=1, initial_checkpoint="/w/model.ckpt"), ["mixed precision"]),
    (f"--logtostderr --training_number_of_steps=30000 {XCEPTION} --train_crop_size=513 --train_crop_size=513 "
     f"--train_batch_size=1 {OUT}", dict(PLUS, train_crop_size=513, train_batch_size=1), []),
    (f"--train_crop_size 513 513 --train_batch_size 4 {OUT}", dict(train_crop_size=513, train_batch_size=4), []),
    # the smoke tests that come with the library, ten steps of either network
    (f'--logtostderr --train_split="trainval" {XCEPTION} --train_crop_size="513,513" --train_batch_size=4 '
     f'--training_number_of_steps="10" --fine_tune_batch_norm=true --tf_initial_checkpoint=/w/model.ckpt {OUT}',
     dict(PLUS, train_steps=10, fine_tune_batch_norm=True), []),
    (f'--logtostderr --train_split="trainval" --model_variant="mobilenet_v2" --output_stride=16 '
     f'--train_crop_size="513,513" --train_batch_size=4 --training_number_of_steps=10 '
     f"--fine_tune_batch_norm=true --tf_initial_checkpoint=/w/model.ckpt-30000 {OUT}",
     dict(backbone="mobilenet_v2", aspp=False, decoder=False, initial_checkpoint="/w/model.ckpt-30000"), []),
    # Cityscapes: another data set, a crop that is as wide as its images is refused elsewhere
    (f'--training_number_of_steps=90000 --train_split="train_fine" {XCEPTION} --train_crop_size="769,769" '
     f'--train_batch_size=1 --dataset="cityscapes" {OUT}', dict(PLUS, num_classes=19, train_crop_size=769), []),
    # Huawei's port: its readme and its scripts
    (f'--logtostderr --training_number_of_steps=200000 --train_split="trainval" {XCEPTION} --train_crop_size="513,513" '
     f'--train_batch_size=16 --dataset="pascal_voc_seg" --fine_tune_batch_norm=False --train_logdir=log '
     f"--dataset_dir=deeplab/datasets/pascal_voc_seg/tfrecord --tf_initial_checkpoint=cp/x65_init.ckpt",
     dict(PLUS, train_steps=200000, train_batch_size=16, fine_tune_batch_norm=False, mixed_precision=True), []),
    (f"--logtostderr --training_number_of_steps=3000 --train_split=trainval {XCEPTION} --train_crop_size=513,513 "
     f"--train_batch_size=7 --fine_tune_batch_norm=False --precision_mode=allow_mix_precision --over_dump=False "
     f"--data_dump_flag=False --profiling=False --autotune=False {OUT}",
     dict(PLUS, train_batch_size=7, dump_folder="", profiling_folder="", mixed_precision=True), []),
    (f"--over_dump=True --profiling=True --precision_mode=must_keep_origin_dtype {OUT}",
     dict(dump_folder="log/dump", profiling_folder="log/profile", mixed_precision=False), []),
    (f"--cards=8 --rank_table=8p.json {XCEPTION} --train_batch_size=7 {OUT}",
     dict(PLUS, learning_rate=8e-4, loss_scale="exponential", train_batch_size=7), []),
    # own classes: what stays of the class layer, frozen batch norm, weights of classes
    (f"--dataset=pascal_voc_seg {XCEPTION} --initialize_last_layer=False --last_layers_contain_logits_only=True "
     f"--fine_tune_batch_norm=False {OUT}",
     dict(initial_layers="without_logits", last_layers_contain_logits_only=True, fine_tune_batch_norm=False), []),
    (f"--noinitialize_last_layer --nolast_layers_contain_logits_only {OUT}",
     dict(initial_layers="without_last_layers", last_layers_contain_logits_only=False), []),
    (f"--dataset=jinnan --set num_classes=3 --num_clones=4 --train_batch_size=20 --initialize_last_layer=True {OUT}",
     dict(num_classes=3, clones=4, train_batch_size=20, initial_layers="all"), []),
    (f"--dataset=safety --set num_classes=4 --label_weights=1 --label_weights=1 --label_weights=50 "
     f"--label_weights=40.5 {OUT}", dict(class_weights=(1, 1, 50, 40.5)), []),
    (f"--initialize_last_layer=false --base_learning_rate=0.0001 --min_resize_value=513 --max_resize_value=513 "
     f"--save_interval_secs=600 {OUT}",
     dict(min_resize_value=513, max_resize_value=513, save_minutes=10, learning_rate=1e-4), []),
    # schedules and optimisers
    (f"--learning_policy=step --learning_rate_decay_factor=0.8 --learning_rate_decay_step=20000 --log_steps=20 {OUT}",
     dict(learning_rate_policy="step", learning_rate_decay_factor=0.8, learning_rate_decay_step=20000, log_every=20), []),
    (f"--learning_policy=poly --learning_power=0.95 --end_learning_rate=1e-6 --decay_steps=1000.0 {OUT}",
     dict(learning_rate_power=0.95, end_learning_rate=1e-6, decay_steps=1000), []),
    (f"--slow_start_step=1000 --slow_start_learning_rate=1e-5 --momentum=0.95 --weight_decay=0.0001 {OUT}",
     dict(slow_start_step=1000, slow_start_learning_rate=1e-5, momentum=0.95, weight_decay=1e-4), []),
    (f"--optimizer=adam --adam_learning_rate=0.002 --adam_epsilon=1e-08 {OUT}",
     dict(optimizer="adam", learning_rate=0.002), ["--adam_epsilon: Adam's epsilon is 1e-5"]),
    (f"--hard_example_mining_step=300 --top_k_percent_pixels=0.25 --last_layer_gradient_multiplier=10 {OUT}",
     dict(hard_example_mining_step=300, top_k_percent_pixels=0.25, last_layer_gradient_multiplier=10), []),
    (f"--min_scale_factor 1.0 --max_scale_factor 1.0 --scale_factor_step_size 0 --save_summaries_images {OUT}",
     dict(min_scale=1, max_scale=1, scale_step=0), ["--save_summaries_images: one training crop"]),
    # ResNet with multi-grid and full convolutions, stride 8 with its rates, the narrow MobileNet
    (f"--model_variant=resnet_v1_50_beta --multi_grid=1 --multi_grid=2 --multi_grid=4 --decoder_output_stride=4 "
     f"--atrous_rates=6,12,18 --noaspp_with_separable_conv --decoder_use_separable_conv=False {OUT}",
     dict(PLUS, backbone="resnet_v1_50_beta", multi_grid=(1, 2, 4), separable_head=False), []),
    (f"--model_variant xception_65 --output_stride 8 --atrous_rates 12 24 36 {OUT}",
     dict(output_stride=8, aspp=True, decoder=False, atrous_rates=(12, 24, 36)), []),
    (f"--depth_multiplier=0.5 --clone_on_cpu --upsample_logits=false --profile_logdir=/prof {OUT}",
     dict(depth_multiplier=0.5, device="cpu", upsample_logits=False, profiling_folder="/prof"), []),
    # what is as it is here anyway, and what is answered
    (f"--num_replicas=1 --num_ps_tasks=0 --task=0 --master= --quantize_delay_step=-1 --drop_path_keep_prob=1.0 "
     f"--logits_kernel_size=1 --add_image_level_feature --aspp_with_batch_norm=True --image_pyramid=1.0 "
     f"--use_bounded_activation=false --aspp_convs_filters=256 --dense_prediction_cell_json= {OUT}", {}, []),
    (f"--startup_delay_steps=15 --save_summaries_secs=5 --merge_method=max --batch_norm_decay=0.9997 "
     f"--image_pooling_crop_size=769,769 --image_pooling_stride=1,1 {OUT}", {},
     ["--startup_delay_steps: ranks start", "--save_summaries_secs: ", "--merge_method: ", "--batch_norm_decay: ",
      "--image_pooling_crop_size: the head pools"]),
]

EVAL = [
    (f'--logtostderr --eval_split="val" {XCEPTION} --eval_crop_size="513,513" --dataset="pascal_voc_seg" {AT_OUT}',
     dict(PLUS, eval_output_stride=16, eval_scales=(1.0,)), ["--eval_crop_size: the frame follows"]),
    (f"--eval_split=val --eval_crop_size=1025 --eval_crop_size=2049 --dataset=cityscapes {XCEPTION} {AT_OUT}",
     dict(PLUS, num_classes=19), ["--eval_crop_size: "]),
    (f"--logtostderr --eval_split=val --model_variant=mobilenet_v2 --eval_crop_size=513,513 "
     f"--max_number_of_evaluations=1 {AT_OUT}", dict(backbone="mobilenet_v2"), ["newest checkpoint is evaluated once"]),
    (f"--eval_scales=0.5 --eval_scales=0.75 --eval_scales=1.0 --eval_scales=1.25 --eval_scales=1.5 --eval_scales=1.75 "
     f"--add_flipped_images=True {XCEPTION} {AT_OUT}",
     dict(PLUS, eval_scales=(0.5, 0.75, 1, 1.25, 1.5, 1.75), eval_flip=True), []),
    (f"--eval_scales=[0.5,1.0] --add_flipped_images {AT_OUT}", dict(eval_scales=(0.5, 1), eval_flip=True), []),
    (f"--add_flipped_images {AT_OUT}", dict(eval_flip=True), ["the original leaves them out at a single scale"]),
    (f"--model_variant=xception_65 --output_stride=8 --atrous_rates=12 --atrous_rates=24 --atrous_rates=36 "
     f"--decoder_output_stride=4 --eval_batch_size=1 --eval_interval_secs=10 {AT_OUT}",
     dict(PLUS, eval_output_stride=8), ["--eval_batch_size: ", "--eval_interval_secs: "]),
    (f"--model_variant resnet_v1_101_beta --multi_grid 1 2 4 --depth_multiplier 1.0 {AT_OUT}",
     dict(backbone="resnet_v1_101_beta", multi_grid=(1, 2, 4)), []),
    (f"--quantize_delay_step=-1 --prediction_with_upsampled_logits=true --dataset=kitti {AT_OUT}", {}, []),
]

MINDSPORE_TRAIN = [
    ("--dataset_url /voc", dict(initial_checkpoint="", trainable="all", learning_rate=0.0014), ["random weights"]),
    ("--data_url=/voc --checkpoint_url=/w/deeplabv3.ckpt --device_id=3",
     dict(initial_checkpoint="/w/deeplabv3.ckpt", trainable="head_kernels", train_batch_size=2), ["chec_deeplabv3"]),
    ("--distribute=false --device_id=0 --checkpoint_url= --data_url=/voc", dict(initial_checkpoint="", trainable="all"), []),
    ("--distribute=true --device_id=0 --data_url=/voc --checkpoint_url=/w.ckpt", dict(trainable="head_kernels"), []),
    ("--epoch_size=10 --batch_size=4 --data_url=/voc --enable_save_ckpt=true --max_checkpoint_num=5 "
     "--save_checkpoint_steps=1000 --save_checkpoint_num=1",
     dict(train_batch_size=4, save_every=1000, keep_checkpoints=1), ["--max_checkpoint_num", "--enable_save_ckpt"]),
    ("--data_url=/voc --learning_rate=0.0007 --momentum=0.9 --weight_decay=0.0001 --crop_size=321 --seg_num_classes=5 "
     "--ignore_label=255 --output_stride=16 --fine_tune_batch_norm=True",
     dict(learning_rate=0.0007, momentum=0.9, weight_decay=1e-4, train_crop_size=321, num_classes=5,
          fine_tune_batch_norm=True), []),
    ("--data_url=/voc --image_pyramid=None --atrous_rates=None --decoder_output_stride=None --eval_scales=[0.5,1.0]",
     dict(aspp=False, decoder=False, eval_scales=(0.5, 1)), []),
    ("--data_url=/voc --atrous_rates=[6,12,18] --decoder_output_stride=4", dict(aspp=True, decoder=True), []),
]

MINDSPORE_EVAL = [
    ("--device_id 2 --dataset_url /voc --checkpoint_url LOG0/chec_deeplabv3-6_732.ckpt",
     dict(eval_protocol="mindspore", eval_scales=(0.5, 0.75, 1, 1.25, 1.5, 1.75)), ["a mean over batches"]),
    ("--data_url=/voc --checkpoint_url=/w.ckpt --eval_scales=1.0 --crop_size=321 --seg_num_classes=21",
     dict(eval_scales=(1.0,), train_crop_size=321, num_classes=21), []),
]

# what cannot be done or understood: (door, command, words of the sentence)
REFUSED = [
    ("train", f"--training_numbr_of_steps=9 {OUT}", "unknown flag --training_numbr_of_steps, did you mean 'training_number_of_steps'?"),
    ("train", f"--tf_initial_checkpoints=/w {OUT}", "did you mean 'tf_initial_checkpoint'?"),
    ("train", f"--initialize_last_layer = False {OUT}", "write --initialize_last_layer=VALUE without blanks"),
    ("train", f"--output_stride=8 --atrous_rates=6,12,18 {OUT}", "do not go with output stride 8: give 12,24,36"),
    ("train", f"--train_crop_size=384,640 {OUT}", "--train_crop_size=384,640 is no square"),
    ("train", f"--decoder_output_stride=8 {OUT}", "is not built here: give 4"),
    ("train", f"--aspp_with_separable_conv=False --decoder_use_separable_conv=True {OUT}", "differ"),
    ("train", f"--dataset=ade20k {OUT}", "--set num_classes=N"),
    ("train", f"--num_replicas=2 {OUT}", "--num_replicas=2 cannot be done here: several processes are started with --cards=N"),
    ("train", f"--quantize_delay_step=0 {OUT}", "cannot be done here"),
    ("train", f"--image_pyramid=0.5 --image_pyramid=1.0 {OUT}", "one scale"),
    ("train", f"--noadd_image_level_feature {OUT}", "always pools"),
    ("train", f"--precision_mode=force_fp16 {OUT}", "give allow_mix_precision or must_keep_origin_dtype"),
    ("train", f"--data_dump_flag=True {OUT}", "--over_dump=True"),
    ("train", f"--fine_tune_batch_norm=maybe {OUT}", "neither true nor false"),
    ("train", f"--save_interval_secs=soon {OUT}", "needs a whole number, got 'soon'"),
    ("train", f"--eval_split=val {OUT}", "--eval_split is of another command: here that is val_list"),
    ("train", "--train_logdir=log", "--dataset_dir is missing"),
    ("train", "data/tfrecord", "'data/tfrecord' is no flag"),
    ("train", "--data_url=/voc --train_logdir=log", "--train_logdir is of another command"),
    ("train", "--device_id=0", "--data_url is missing"),
    ("train", "--device_id=first --data_url=/voc", "--device_id needs a whole number, got 'first'"),
    ("eval", "--dataset_dir=/d --eval_logdir=e", "--checkpoint_dir is missing"),
    ("eval", f"--train_batch_size=8 {AT_OUT}", "is of another command"),
    ("eval", "--dataset_url=/voc", "--checkpoint_url is missing"),
]
