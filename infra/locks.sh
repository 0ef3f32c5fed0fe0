#!/usr/bin/env bash
# Every lock: `make lock` after a dependency has changed. What is locked stays as it is; PACKAGES names what may move.
# One lock serves Python 3.11.0 to 3.13: markers say what only some of them need.
set -euo pipefail
cd "$(dirname "$0")/.."
# Wheels alone; these two are published as source for Linux.
compile() {
  .venv/bin/uv pip compile -q --universal --python-version 3.11.0 --generate-hashes \
    --only-binary :all: --no-binary grad-cam --no-binary pdqhash "$@"
}
upgrade=()
for package in ${PACKAGES:-}; do upgrade+=(--upgrade-package "$package"); done

compile --custom-compile-command "make lock" --all-extras pyproject.toml -o requirements.lock "${upgrade[@]}"
# ministack's botocore is another than ours.
compile --custom-compile-command "make lock" infra/embedded/ministack.in \
  -o infra/embedded/requirements-ministack.lock "${upgrade[@]}"

# The images' locks are parts of the first. torch and what it alone brings (CUDA's libraries) have a lock of their own:
# a CPU build replaces them whole.
part() { compile --no-header --no-annotate -c requirements.lock "$@"; }
torch_alone=()
while read -r name; do torch_alone+=(--no-emit-package "$name"); done < <(
  grep -oE '^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==' requirements.lock | tr -d =
)
part --extra api pyproject.toml infra/docker/flower.in -o infra/docker/api.lock
part --extra worker --extra training pyproject.toml "${torch_alone[@]}" -o infra/docker/worker.lock
python3 - <<'EOF'
import re
from pathlib import Path

entries = re.split(r"\n(?=\S)", Path("requirements.lock").read_text(encoding="utf-8"))
torch = [e for e in entries if re.match(r"(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==", e)]
lines = [line for entry in torch for line in entry.splitlines() if not line.lstrip().startswith("#")]
Path("infra/docker/torch.lock").write_text("\n".join(lines) + "\n", encoding="utf-8")
EOF
