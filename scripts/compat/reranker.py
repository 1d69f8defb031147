"""Writes the bundled demo evaluator as the folder that servers of PyTorch models load: a BERT cross-encoder.

    reranker.py EVALUATOR FOLDER

EVALUATOR holds model.onnx and tokenizer.json. The weights are taken out of the ONNX graph as they are, so a server that
runs the folder has to give the very numbers of the engine, but for the last bits.
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

# What the network's parts are called in scripts/models/evaluator.py, and in the library `transformers`.
PARTS = {
    "words": "bert.embeddings.word_embeddings",
    "positions": "bert.embeddings.position_embeddings",
    "types": "bert.embeddings.token_type_embeddings",
    "norm": "bert.embeddings.LayerNorm",
    "pooler": "bert.pooler.dense",
    "classifier": "classifier",
}
LAYER_PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
HEADS = 4


def renamed(name):
    part, _, kind = name.rpartition(".")
    if part.startswith("layers."):
        _, layer, part = part.split(".")
        return f"bert.encoder.layer.{layer}.{LAYER_PARTS[part]}.{kind}"
    return f"{PARTS[part]}.{kind}"


def weights_of(graph):
    """All parameters by name. The exporter keeps the names of all but the matrices that it turned round."""
    given = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = {name: array for name, array in given.items() if name.endswith((".weight", ".bias"))}
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        biases = [i for i in node.input if i.endswith(".bias")]
        if node.op_type != "Add" or not biases:
            continue
        products = [made_by[i] for i in node.input if i in made_by and made_by[i].op_type == "MatMul"]
        if products:
            matrix = given[products[0].input[1]]
            weights[biases[0].removesuffix("bias") + "weight"] = np.ascontiguousarray(matrix.T)
    return weights


def main(evaluator, folder):
    weights = weights_of(onnx.load(str(evaluator / "model.onnx")).graph)
    dim = weights["norm.weight"].shape[0]
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    positions = weights["positions.weight"].shape[0]
    folder.mkdir(parents=True, exist_ok=True)
    save_file({renamed(name): array for name, array in weights.items()}, str(folder / "model.safetensors"), metadata={"format": "pt"})
    config = {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "num_labels": 1,
        "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
        "vocab_size": weights["words.weight"].shape[0], "hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": HEADS,
        "intermediate_size": weights["layers.0.intermediate.bias"].shape[0], "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "max_position_embeddings": positions, "type_vocab_size": 2, "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    words = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions,
                 "model_input_names": ["input_ids", "token_type_ids", "attention_mask"], **words}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2))
    shutil.copyfile(evaluator / "tokenizer.json", folder / "tokenizer.json")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
