#!/usr/bin/env bash
# run_eval.sh DEVICE_ID DATA_PATH CKPT [--NAME=VALUE ...]
# Scores a checkpoint of the MindSpore entry, or one trained here such as LOG0, by that entry's
# protocol; what it says goes to eval.log too. DATA_PATH holds eval/Images and
# eval/SegmentationClassRaw, or VOC's folders.

. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
positional "3" "DEVICE_ID DATA_PATH CKPT" "$@"
set -o pipefail
run eval --device_id="${words[0]}" --data_url="${words[1]}" --checkpoint_url="${words[2]}" \
    "${more[@]}" 2>&1 | tee -a eval.log
