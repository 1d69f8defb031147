"""A draft of the shipped folder: the measured file, its tokenizer, and poq.json with the cut and the calibration."""

import json
import shutil

import data


def write(run) -> None:
    folder, source = run.work / "judge", run.work / run.given.file
    calibration = run.get("calibration.json", "calibrate")
    folder.mkdir(exist_ok=True)
    files = {}
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copyfile(source / name, folder / name)
        files[name] = data.sha256(folder / name)
    content = {
        "format": 1,
        "kind": "cross_encoder",
        "model": "model.onnx",
        "files": files,
        "max_tokens": run.rows.longest,
        "cut": run.cut,
        "calibration": calibration,
    }
    data.write(folder / "poq.json", json.dumps(content, indent=2) + "\n")
    print(f"{folder}: " + ", ".join(f"{path.name} {path.stat().st_size:,} bytes" for path in sorted(folder.iterdir())))
