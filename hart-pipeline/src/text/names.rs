//! Which tensor of the text encoder's checkpoint is which parameter.

use hart_core::checkpoint::NameTable;

/// The names of a Qwen2 model, without the prefixes that [`open_checkpoint`] removes. The
/// vocabulary head and a vision tower are not needed.
pub const NAMES: NameTable = NameTable {
    part: "the text encoder",
    scope: "",
    rows: &[
        ("embed_tokens.weight", "embedding.weight"),
        ("layers.*.input_layernorm.weight", "layers.*.attention_norm.weight"),
        ("layers.*.self_attn.q_proj.weight", "layers.*.attention.q.weight"),
        ("layers.*.self_attn.q_proj.bias", "layers.*.attention.q.bias"),
        ("layers.*.self_attn.k_proj.weight", "layers.*.attention.k.weight"),
        ("layers.*.self_attn.k_proj.bias", "layers.*.attention.k.bias"),
        ("layers.*.self_attn.v_proj.weight", "layers.*.attention.v.weight"),
        ("layers.*.self_attn.v_proj.bias", "layers.*.attention.v.bias"),
        ("layers.*.self_attn.o_proj.weight", "layers.*.attention.output.weight"),
        ("layers.*.post_attention_layernorm.weight", "layers.*.mlp_norm.weight"),
        ("layers.*.mlp.gate_proj.weight", "layers.*.gate.weight"),
        ("layers.*.mlp.up_proj.weight", "layers.*.up.weight"),
        ("layers.*.mlp.down_proj.weight", "layers.*.down.weight"),
        ("norm.weight", "norm.weight"),
    ],
    ignored: &["lm_head.**", "visual.**", "rotary_emb.**", "layers.*.self_attn.rotary_emb.**"],
    full_precision: &[],
    rounded: &[
        "layers.*.attention.q.weight",
        "layers.*.attention.k.weight",
        "layers.*.attention.v.weight",
        "layers.*.attention.output.weight",
        "layers.*.gate.weight",
        "layers.*.up.weight",
        "layers.*.down.weight",
    ],
};

/// Opens the checkpoint of a text encoder's folder and removes the prefixes under which the
/// language model is stored there: none, `model.`, `model.language_model.` or
/// `language_model.model.`.
///
/// # Errors
/// Those of [`Checkpoint::open_folder`](hart_core::checkpoint::Checkpoint::open_folder).
#[cfg(feature = "fs")]
pub fn open_checkpoint(
    folder: impl AsRef<std::path::Path>,
) -> hart_core::Result<hart_core::checkpoint::Checkpoint> {
    let checkpoint = hart_core::checkpoint::Checkpoint::open_folder(folder)?;
    Ok(checkpoint.strip_prefix("model.").strip_prefix("language_model.").strip_prefix("model."))
}
