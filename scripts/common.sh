# What the scripts share; they set their variables first and then read this file.
# Options are the published scripts' own, and --name=value for each variable of the calling script.

root=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] && [ "${ENVIRONMENT:-}" != current ] || python=$root/.venv-current/bin/python
[ -x "$python" ] || python=python3 # an environment that is activated already
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

refuse() {
    printf 'Error: %s\n' "$1" >&2
    exit 2
}

run() { "$python" -m "deeplab_nb.published.$1" "${@:2}"; }

# usage: prints the comment at the head of the calling script and its variables
usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    sed -n '/^case=/d; s/^\([a-z_]*\)=\(.*\)/  --\1=\2/p' "$0"
    cat <<'END'
  --precision_mode=allow_mix_precision   or must_keep_origin_dtype
  --over_dump=False  --profiling=False  --data_dump_flag=False
  --rank_table=FILE                      for several cards; also RANK_TABLE_FILE
  --set=NAME=VALUE                       any setting of this workbook; may be repeated
  --dry_run                              says what would be run
END
    exit 0
}

# parse WORDS: sets variables, and `more` to the options that are handed on
more=()
parse() {
    local word
    while [ $# -gt 0 ]; do
        word=$1
        shift
        case $word in
        -h | --help) usage ;;
        --data_path=* | --ckpt_path=* | --train_steps=* | --batch_size=* | --learning_rate=* | \
            --cards=*)
            word=${word#--}
            printf -v "${word%%=*}" %s "${word#*=}"
            ;;
        --precision_mode=* | --over_dump=* | --data_dump_flag=* | --profiling=* | --rank_table=* | \
            --set=* | --dry_run)
            more+=("$word")
            ;;
        --set)
            more+=("--set=${1-}")
            shift || refuse "--set is followed by NAME=VALUE"
            ;;
        *) refuse "unknown option '$word': -h lists those that there are" ;;
        esac
    done
}

# train_deeplab WORDS: DeepLabv3+ of the variables; for `acc`, then its mIoU on val
train_deeplab() {
    parse "$@"
    [ -n "$data_path" ] || refuse "--data_path is missing: give the folder of tfrecord, or VOC's"
    [ -n "$ckpt_path" ] || refuse "--ckpt_path is missing: it holds xception_65_coco_pretrained"
    local start=$ckpt_path/xception_65_coco_pretrained/x65-b2u1s2p-d48-2-3x256-sc-cr300k_init.ckpt
    [ -e "$start.index" ] || start=$ckpt_path # or any other checkpoint
    local network=(--model_variant=xception_65 --output_stride=16 --decoder_output_stride=4
        --atrous_rates=6 --atrous_rates=12 --atrous_rates=18)
    run train "${network[@]}" --train_split=trainval --train_crop_size=513,513 \
        --fine_tune_batch_norm=False --precision_mode=allow_mix_precision \
        --training_number_of_steps="$train_steps" \
        --train_batch_size="$batch_size" --base_learning_rate="$learning_rate" \
        --train_logdir="log_${cards}p" --dataset_dir="$data_path" --tf_initial_checkpoint="$start" \
        --cards="$cards" --case="$case" "${more[@]}" || exit
    case " ${more[*]} " in *" --dry_run "*) exit ;; esac
    [ "$case" = perf ] || run eval --eval_split=val --dataset_dir="$data_path" \
        --eval_logdir=log_eval --checkpoint_dir="log_${cards}p" --max_number_of_evaluations=1
}

# positional COUNTS NAMES WORDS: `words` gets those without dashes, COUNTS of them; `more` the rest
positional() {
    local counts=$1 names=$2 word
    shift 2
    words=()
    while [ $# -gt 0 ]; do
        word=$1
        shift
        case $word in
        -h | --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
        --set)
            more+=("--set=${1-}")
            shift || refuse "--set is followed by NAME=VALUE"
            ;;
        -*) more+=("$word") ;;
        *) words+=("$word") ;;
        esac
    done
    case " $counts " in
    *" ${#words[@]} "*) ;;
    *) refuse "$(basename -- "$0") takes $names, got ${#words[@]} words" ;;
    esac
}
