#!/usr/bin/env bash
# Installs the peers into target/peers, builds gradstep's C library, and measures them: see README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benches/peers
peers=target/peers
venv=$peers/venv

if ! cmp --silent $here/requirements.txt $venv/requirements.txt; then
    python3 -m venv --clear $venv
    pip=("$venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check)
    torch=$(grep '^torch==' $here/requirements.txt)
    # PyTorch's own index has it without CUDA, 5 GB less; where that cannot be reached, with it.
    "${pip[@]}" --retries 0 --index-url https://download.pytorch.org/whl/cpu "$torch" 2>/dev/null ||
        "${pip[@]}" "$torch"
    "${pip[@]}" --requirement $here/requirements.txt
    cp $here/requirements.txt $venv/
fi

cargo xtask clib >/dev/null
# DeepSpeed's and PyTorch's compiled extensions.
export TORCH_EXTENSIONS_DIR=$PWD/$peers/extensions
export PATH=$PWD/$venv/bin:$PATH
exec python $here/run.py "$@"
