#!/usr/bin/env python3
"""Describes a release: reads the version of the runtime out of its Wasm, and the notes out of CHANGELOG.md.

usage: release_manifest.py FOLDER ROOT COMMIT

FOLDER holds the files of the release, among them the runtime (poq_runtime.compact.compressed.wasm), and the same runtime without compression
as poq_runtime.compact.wasm, which is read and is not a part of the release. Writes FOLDER/manifest.json, FOLDER/UPGRADE.md and
FOLDER/SHA256SUMS.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

WASM = "poq_runtime.compact.compressed.wasm"
PLAIN_WASM = "poq_runtime.compact.wasm"
# A compressed blob begins with these bytes (sp-maybe-compressed-blob).
COMPRESSED = bytes.fromhex("52bc537646db8e05")


def fail(what: str) -> None:
    sys.exit(f"release_manifest: {what}")


class Reader:
    """Reads SCALE and the integers of Wasm."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise ValueError("the data end too early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def compact(self) -> int:
        first = self.take(1)
        mode = first[0] & 3
        if mode == 3:
            raise ValueError("a length that no text here has")
        return int.from_bytes(first + self.take((1 << mode) - 1), "little") >> 2

    def text(self) -> str:
        return self.take(self.compact()).decode()

    def leb(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def custom_section(wasm: bytes, name: str) -> bytes:
    reader = Reader(wasm)
    if reader.take(8) != b"\0asm\1\0\0\0":
        raise ValueError("this is no Wasm")
    while reader.data:
        kind = reader.take(1)[0]
        section = Reader(reader.take(reader.leb()))
        if kind == 0 and section.take(section.leb()).decode() == name:
            return section.data
    raise ValueError(f"the Wasm has no section {name}")


def runtime_version(wasm: bytes) -> dict[str, object]:
    """The version, which wasm-builder has checked to be there. Its list of APIs is a section of its own."""
    version = Reader(custom_section(wasm, "runtime_version"))
    spec_name, impl_name = version.text(), version.text()
    authoring, spec, impl = version.u32(), version.u32(), version.u32()
    apis = version.compact()
    version.take(apis * 12)
    return {
        "spec_name": spec_name,
        "impl_name": impl_name,
        "authoring_version": authoring,
        "spec_version": spec,
        "impl_version": impl,
        "transaction_version": version.u32(),
    }


def upgrade_notes(changelog: str, version: str, spec_version: int) -> str:
    """The runtime's row of the table of versions, and the section of this release or, before it has one, what is unreleased."""
    row = re.search(rf"^\| {spec_version} \|.*\|$", changelog, re.MULTILINE)
    if not row:
        fail(f"CHANGELOG.md has no row for the runtime's version {spec_version}")
    sections = dict(re.findall(r"^## \[([^\]]+)\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL))
    section = sections.get(version) or sections.get("Unreleased")
    if not section or not section.strip():
        fail(f"CHANGELOG.md says nothing of {version}")
    migrations = re.search(r"^Storage migrations: .*?\n\n", changelog, re.MULTILINE | re.DOTALL)
    return "\n".join(
        [
            f"# Upgrade to {version}",
            "",
            "| runtime | transactions | storage | what came with it |",
            "|--:|--:|--:|---|",
            row.group(),
            "",
            migrations.group().strip() if migrations else "",
            "",
            section.strip(),
            "",
        ]
    )


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, root, commit = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    version = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    lock = tomllib.loads((root / "Cargo.lock").read_text())["package"]
    builder = next(package["version"] for package in lock if package["name"] == "substrate-wasm-builder")
    code, plain = (folder / WASM).read_bytes(), (folder / PLAIN_WASM).read_bytes()
    if not code.startswith(COMPRESSED):
        fail(f"{WASM} is not compressed")
    runtime = runtime_version(plain)
    (folder / PLAIN_WASM).unlink()
    (folder / "UPGRADE.md").write_text(
        upgrade_notes((root / "CHANGELOG.md").read_text(), version, int(str(runtime["spec_version"])))
    )
    metadata_hash = (root / "runtime/metadata-hash").read_text().strip()
    if bytes.fromhex(metadata_hash.removeprefix("0x")) not in plain:
        fail("the Wasm does not hold runtime/metadata-hash")
    programs = sorted(path for path in folder.iterdir() if path.name.startswith("poq") and path.suffix == "")
    manifest = {
        "version": version,
        "commit": commit,
        "runtime": runtime
        | {
            "file": WASM,
            "bytes": len(code),
            "sha256": hashlib.sha256(code).hexdigest(),
            # What `System.authorize_upgrade` takes.
            "code_hash": "0x" + hashlib.blake2b(code, digest_size=32).hexdigest(),
            # What `CheckMetadataHash` compares (RFC-78).
            "metadata_hash": metadata_hash,
        },
        "toolchain": {
            "rustc": output_of("rustc", "--version", "--verbose").splitlines(),
            "wasm_builder": builder,
        },
        "programs": {path.name: sha256(path) for path in programs},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    (folder / "SHA256SUMS").write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files))


if __name__ == "__main__":
    main()
