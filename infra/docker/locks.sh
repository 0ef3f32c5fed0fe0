#!/usr/bin/env bash
# The images' locks, each a part of requirements.lock: `bash infra/docker/locks.sh` after that one has changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
compile() { .venv/bin/uv pip compile -q --generate-hashes --no-header --no-annotate -c requirements.lock "$@"; }

# torch and what it alone brings (CUDA's libraries) have a lock of their own: a CPU build replaces them whole.
torch_alone=()
while read -r name; do torch_alone+=(--no-emit-package "$name"); done < <(
  grep -oE '^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==' requirements.lock | tr -d =
)
compile --extra api pyproject.toml infra/docker/flower.in -o infra/docker/api.lock
compile --extra worker --extra training pyproject.toml "${torch_alone[@]}" -o infra/docker/worker.lock
python3 - <<'EOF'
import re
from pathlib import Path

entries = re.split(r"\n(?=\S)", Path("requirements.lock").read_text(encoding="utf-8"))
torch = [e for e in entries if re.match(r"(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==", e)]
lines = [line for entry in torch for line in entry.splitlines() if not line.lstrip().startswith("#")]
Path("infra/docker/torch.lock").write_text("\n".join(lines) + "\n", encoding="utf-8")
EOF
