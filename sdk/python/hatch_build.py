"""Puts the verifier of receipts and the licence into the package. POQ_VERIFIER names the verifier (a .wasm file); without it
scripts/build-verifier.sh of the repository makes one, which needs Rust. An unpacked sdist has both already."""

import os
import shutil
import subprocess
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Verifier(BuildHookInterface):
    def initialize(self, version, build_data):
        here = Path(self.root)
        repository = here.parent.parent
        script = repository / "scripts/build-verifier.sh"
        if not script.is_file():
            return
        made = os.environ.get("POQ_VERIFIER") or subprocess.run(
            [script], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        shutil.copyfile(made, here / "src/proof_of_quality/verifier.wasm")
        shutil.copyfile(repository / "LICENSE", here / "LICENSE")
