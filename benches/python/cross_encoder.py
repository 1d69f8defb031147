"""Writes the cross-encoder of scripts/minilm as a folder that sentence-transformers and `transformers` load.

    python cross_encoder.py SOURCE TARGET

SOURCE is the folder with all-MiniLM-L6-v2's weights (minilm/source after scripts/setup-minilm.sh). Weights and the untrained
head are those of minilm-cross-fp32, so both programs compute the same function. Its scores mean nothing.
"""

import pathlib
import sys

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "minilm"))
from export import untrained_head  # noqa: E402


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:])
    config = BertConfig.from_pretrained(source, num_labels=1)
    network = BertForSequenceClassification(config)
    weights = {f"bert.{name}": values for name, values in load_file(source / "model.safetensors").items()}
    head = [torch.from_numpy(values) for values in untrained_head()]
    weights.update({"classifier.weight": head[0], "classifier.bias": head[1]})
    missing, unexpected = network.load_state_dict(weights, strict=False)
    unexpected = [name for name in unexpected if not name.endswith("position_ids")]
    if missing or unexpected:
        sys.exit(f"cross_encoder: weights are missing: {missing}; or have no place: {unexpected}")
    network.save_pretrained(target)

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=512).save_pretrained(target)
    print(f"{target}: written")


if __name__ == "__main__":
    main()
