//! Which tensor of `llm/model.safetensors` is which parameter.

use hart_core::checkpoint::NameTable;

/// The names of the released transformer. The diffusion head lies in the same file.
pub const NAMES: NameTable = NameTable {
    part: "the transformer",
    scope: "",
    rows: &[
        ("word_embed.weight", "words.weight"),
        ("word_embed.bias", "words.bias"),
        ("context_embed.weight", "context.projection.weight"),
        ("context_embed.bias", "context.projection.bias"),
        ("context_norm.weight", "context.norm.weight"),
        ("lvl_embed.mlp.0.weight", "levels.Sinusoidal.input.weight"),
        ("lvl_embed.mlp.0.bias", "levels.Sinusoidal.input.bias"),
        ("lvl_embed.mlp.2.weight", "levels.Sinusoidal.output.weight"),
        ("lvl_embed.mlp.2.bias", "levels.Sinusoidal.output.bias"),
        ("lvl_embed.weight", "levels.Table.weight"),
        ("blocks.*.ln_wo_grad.weight", "blocks.*.norm.weight"),
        ("blocks.*.attn.qkv_proj.weight", "blocks.*.attention.qkv.weight"),
        ("blocks.*.attn.q_bias", "blocks.*.attention.q_bias"),
        ("blocks.*.attn.v_bias", "blocks.*.attention.v_bias"),
        ("blocks.*.attn.scale_mul_1H11", "blocks.*.attention.log_scale"),
        ("blocks.*.attn.proj.weight", "blocks.*.attention.output.weight"),
        ("blocks.*.attn.proj.bias", "blocks.*.attention.output.bias"),
        ("blocks.*.ffn.gate_proj.weight", "blocks.*.mlp.GatedSilu.gate.weight"),
        ("blocks.*.ffn.up_proj.weight", "blocks.*.mlp.GatedSilu.up.weight"),
        ("blocks.*.ffn.down_proj.weight", "blocks.*.mlp.GatedSilu.down.weight"),
        ("blocks.*.ffn.fc1.weight", "blocks.*.mlp.Gelu.input.weight"),
        ("blocks.*.ffn.fc1.bias", "blocks.*.mlp.Gelu.input.bias"),
        ("blocks.*.ffn.fc2.weight", "blocks.*.mlp.Gelu.output.weight"),
        ("blocks.*.ffn.fc2.bias", "blocks.*.mlp.Gelu.output.bias"),
        ("blocks.*.scale_shift_table", "blocks.*.modulation.table"),
        ("blocks.*.ada_lin.1.weight", "blocks.*.modulation.linear.weight"),
        ("blocks.*.ada_lin.1.bias", "blocks.*.modulation.linear.bias"),
        ("head_nm.ln_wo_grad.weight", "head.norm.weight"),
        ("head_nm.ada_lin.1.weight", "head.modulation.weight"),
        ("head_nm.ada_lin.1.bias", "head.modulation.bias"),
        ("head.weight", "head.output.weight"),
        ("head.bias", "head.output.bias"),
        ("decoder_norm.weight", "residual_norm.weight"),
    ],
    ignored: &[
        "lvl_1L",
        "attn_bias_for_masking",
        "blocks.*.attn.zero_k_bias",
        // The residual diffusion head is another crate's.
        "diffloss.**",
    ],
    // Logits are computed in 32 bits.
    full_precision: &["head.output.*"],
    rounded: &[
        "context.projection.weight",
        "blocks.*.attention.qkv.weight",
        "blocks.*.attention.output.weight",
        "blocks.*.mlp.*.*.weight",
    ],
};
