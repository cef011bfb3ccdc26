//! Which tensor of `llm/model.safetensors` is which parameter of the head.

use hart_core::checkpoint::NameTable;

/// The names of the released residual diffusion head.
pub const NAMES: NameTable = NameTable {
    part: "the residual head",
    scope: "diffloss.net.",
    rows: &[
        ("input_proj.weight", "input.weight"),
        ("input_proj.bias", "input.bias"),
        ("cond_embed.weight", "condition.weight"),
        ("cond_embed.bias", "condition.bias"),
        ("time_embed.mlp.0.weight", "time.input.weight"),
        ("time_embed.mlp.0.bias", "time.input.bias"),
        ("time_embed.mlp.2.weight", "time.output.weight"),
        ("time_embed.mlp.2.bias", "time.output.bias"),
        ("res_blocks.*.in_ln.weight", "blocks.*.norm.gamma"),
        ("res_blocks.*.in_ln.bias", "blocks.*.norm.beta"),
        ("res_blocks.*.mlp.0.weight", "blocks.*.input.weight"),
        ("res_blocks.*.mlp.0.bias", "blocks.*.input.bias"),
        ("res_blocks.*.mlp.2.weight", "blocks.*.output.weight"),
        ("res_blocks.*.mlp.2.bias", "blocks.*.output.bias"),
        ("res_blocks.*.adaLN_modulation.1.weight", "blocks.*.modulation.weight"),
        ("res_blocks.*.adaLN_modulation.1.bias", "blocks.*.modulation.bias"),
        ("final_layer.adaLN_modulation.1.weight", "modulation.weight"),
        ("final_layer.adaLN_modulation.1.bias", "modulation.bias"),
        ("final_layer.linear.weight", "output.weight"),
        ("final_layer.linear.bias", "output.bias"),
    ],
    ignored: &[],
    full_precision: &[],
    rounded: &[
        "input.weight",
        "condition.weight",
        "blocks.*.input.weight",
        "blocks.*.output.weight",
        "blocks.*.modulation.weight",
        "modulation.weight",
        "output.weight",
    ],
};
