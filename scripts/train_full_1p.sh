#!/usr/bin/env bash
# Trains DeepLabv3+ on one card from weights of COCO, then scores it on val, into the current
# folder: log_1p, log_eval and output/CARD. --train_steps=20 makes it short; the same command again
# resumes.
# The published script names 300000 steps and trains 3000; this trains as many as it names.

data_path=
ckpt_path=
train_steps=300000
batch_size=7
learning_rate=0.0001
cards=1
case=acc

. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
train_deeplab "$@"
