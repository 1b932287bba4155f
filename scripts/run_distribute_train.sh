#!/usr/bin/env bash
# run_distribute_train.sh RANK_TABLE_FILE DATA_PATH [CKPT] [--NAME=VALUE ...]
# Trains DeepLabv3 of the MindSpore zoo on eight cards, into the current folder: LOG0 to LOG7.
# DATA_PATH holds train/Images and train/SegmentationClassRaw, or VOC's folders. --epoch_size=1
# makes it short, --cards=4 changes their number, --set NAME=VALUE any setting.
# The same command again resumes.

. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
positional "2 3" "RANK_TABLE_FILE DATA_PATH [CKPT]" "$@"
run train --rank_table="${words[0]}" --data_url="${words[1]}" --checkpoint_url="${words[2]:-}" \
    --cards=8 "${more[@]}"
