#!/usr/bin/env bash
# Trains DeepLabv3+ on eight cards for 3000 steps to see how fast that is, into the current folder:
# log_8p and output/CARD. --train_steps=20 makes it short; the same command again resumes.
# The rank table is RANK_TABLE_FILE or --rank_table=FILE.

data_path=
ckpt_path=
train_steps=3000
batch_size=7
learning_rate=0.0008
cards=8
case=perf

. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
train_deeplab "$@"
