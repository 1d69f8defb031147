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
        verifier = here / "src/proof_of_quality/verifier.wasm"
        made = os.environ.get("POQ_VERIFIER")
        if not made and script.is_file():
            made = subprocess.run([script], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        if made:
            shutil.copyfile(made, verifier)
        if (repository / "LICENSE").is_file():
            shutil.copyfile(repository / "LICENSE", here / "LICENSE")
        if not verifier.is_file():
            raise FileNotFoundError(f"there is no {verifier}: name a verifier by POQ_VERIFIER, or build in a clone of the repository")
