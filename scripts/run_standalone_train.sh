#!/usr/bin/env bash
# run_standalone_train.sh DEVICE_ID DATA_PATH [CKPT] [--NAME=VALUE ...]
# Trains DeepLabv3 of the MindSpore zoo on one card, into the current folder: LOG0 and log.txt.
# DATA_PATH holds train/Images and train/SegmentationClassRaw, or VOC's folders. --epoch_size=1
# makes it short, --batch_size=2 and --learning_rate=0.0014 change it, --set NAME=VALUE any setting.
# The same command again resumes.

. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
positional "2 3" "DEVICE_ID DATA_PATH [CKPT]" "$@"
run train --device_id="${words[0]}" --data_url="${words[1]}" --checkpoint_url="${words[2]:-}" \
    --cards=1 "${more[@]}"
