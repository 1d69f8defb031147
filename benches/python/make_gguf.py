"""Writes a generator of real size for speed: llama architecture, about 110 million parameters, 8-bit, drawn at random.

    python make_gguf.py ../../models/poq-demo-strong.gguf TARGET.gguf

What a token costs does not depend on what the weights say, so untrained ones serve; the text is nonsense. The tokenizer is
the demo model's. Its end-of-text tokens get the lowest logit, so that every answer is as long as asked.
"""

import sys

import gguf
import numpy as np

SEED = 20241117
WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT = 768, 14, 12, 4, 2048, 2048
KIND = gguf.GGMLQuantizationType.Q8_0


def main() -> None:
    source, target = sys.argv[1:]
    demo = gguf.GGUFReader(source)
    value = lambda key: demo.fields[key].contents()
    tokens = value("tokenizer.ggml.tokens")
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_name("random weights, for speed only")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model(value("tokenizer.ggml.model"))
    writer.add_tokenizer_pre(value("tokenizer.ggml.pre"))
    writer.add_token_list(tokens)
    writer.add_token_types(value("tokenizer.ggml.token_type"))
    writer.add_token_merges(value("tokenizer.ggml.merges"))
    ends = set()
    for name, add in [
        ("bos", writer.add_bos_token_id),
        ("eos", writer.add_eos_token_id),
        ("eot", writer.add_eot_token_id),
        ("padding", writer.add_pad_token_id),
    ]:
        key = f"tokenizer.ggml.{name}_token_id"
        if key in demo.fields:
            add(value(key))
            ends.add(value(key))
    writer.add_add_bos_token(bool(value("tokenizer.ggml.add_bos_token")))
    writer.add_chat_template(value("tokenizer.chat_template"))

    rng = np.random.default_rng(SEED)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    def add(name: str, weights: np.ndarray) -> None:
        if weights.ndim == 1:
            writer.add_tensor(name, weights)
        else:
            writer.add_tensor(name, gguf.quants.quantize(weights, KIND), raw_dtype=KIND)

    add("token_embd.weight", matrix(len(tokens), WIDTH))
    head = WIDTH // HEADS
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        add(block + "attn_norm.weight", np.ones(WIDTH, np.float32))
        add(block + "attn_q.weight", matrix(WIDTH, WIDTH))
        add(block + "attn_k.weight", matrix(KV_HEADS * head, WIDTH))
        add(block + "attn_v.weight", matrix(KV_HEADS * head, WIDTH))
        add(block + "attn_output.weight", matrix(WIDTH, WIDTH))
        add(block + "ffn_norm.weight", np.ones(WIDTH, np.float32))
        add(block + "ffn_gate.weight", matrix(FEED_FORWARD, WIDTH))
        add(block + "ffn_up.weight", matrix(FEED_FORWARD, WIDTH))
        add(block + "ffn_down.weight", matrix(WIDTH, FEED_FORWARD))
    add("output_norm.weight", np.ones(WIDTH, np.float32))
    output = matrix(len(tokens), WIDTH)
    # The likeliest of a thousand random tokens is far above zero.
    output[sorted(ends)] = 0
    add("output.weight", output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
