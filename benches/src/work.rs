//! The operations of a generation, counted from its configuration.
//!
//! Counted are the products and sums of matrix products, convolutions and attention as they are
//! written down: both halves of guidance in full, every convolution tap by tap. It is what the
//! PyTorch side does, and a yardstick for ours, which finds its way around some of it.

use hart_ar::TransformerConfig;
use hart_diffusion::ResidualHeadConfig;
use hart_pipeline::ModelConfig;
use hart_tokenizer::AutoencoderConfig;

use crate::phases::Phases;
use crate::released::DIFFUSION_STEPS;

/// Width of the sinusoid of a diffusion time.
const FREQUENCIES: usize = 256;
/// Residual blocks of a level of the decoder.
const BLOCKS: usize = 3;
/// Side of the kernels that are not 1 × 1.
const KERNEL: usize = 3;

/// Operations for `batch` pictures.
pub fn operations(config: &ModelConfig, batch: usize) -> Phases<u64> {
    let (transformer, autoencoder) = (&config.transformer, &config.autoencoder);
    let phases = Phases::sum(
        transformer_operations(transformer, autoencoder),
        diffusion_operations(transformer, &config.residual_head, autoencoder.latent_channels),
        decoder_operations(autoencoder),
    );
    let phases = phases.map(|operations| (operations * batch) as u64);
    // The time of a diffusion step is embedded once for the whole batch.
    let times = DIFFUSION_STEPS * time_operations(config.residual_head.width);
    Phases::sum(phases.transformer, phases.diffusion + times as u64, phases.decoder)
}

/// A linear layer on so many rows.
fn linear(rows: usize, inputs: usize, outputs: usize) -> usize {
    2 * rows * inputs * outputs
}

/// A convolution to so many cells.
fn convolution(cells: usize, kernel: usize, inputs: usize, outputs: usize) -> usize {
    linear(cells, kernel * kernel * inputs, outputs)
}

/// Scores and weighted sums over all heads, which are `width` wide together.
fn attention(queries: usize, keys: usize, width: usize) -> usize {
    4 * queries * keys * width
}

/// The transformer over all scales for one picture, and what leads from scale to scale.
fn transformer_operations(config: &TransformerConfig, autoencoder: &AutoencoderConfig) -> usize {
    let (width, channels) = (config.width, autoencoder.latent_channels);
    let scales = &config.scales;
    // The first step is the context, from which scale 0 is predicted.
    let mut steps = vec![config.context_tokens];
    steps.extend((1..scales.count()).map(|scale| scales.tokens(scale)));
    let mut keys = 0;
    let mut half = linear(config.context_tokens, config.context_width, width);
    half += linear(1, width, 2 * width); // the head's modulation
    for &tokens in &steps {
        keys += tokens;
        half += config.depth * block_operations(config, tokens, keys);
        half += linear(tokens, width, autoencoder.codebook_size);
    }
    // Shared by the halves: the image so far as words, and the convolution after each scale.
    let words: usize = steps[1..].iter().map(|&tokens| linear(tokens, channels, width)).sum();
    let cells = scales.tokens(scales.last());
    let convolutions = scales.last() * convolution(cells, KERNEL, channels, channels);
    2 * half + words + convolutions
}

/// A block on so many tokens, which attend to so many.
fn block_operations(config: &TransformerConfig, tokens: usize, keys: usize) -> usize {
    let width = config.width;
    linear(tokens, width, 3 * width)
        + attention(tokens, keys, width)
        + linear(tokens, width, width)
        + 3 * linear(tokens, width, config.mlp_width())
}

/// The residual diffusion of one picture's last scale, without the embedding of times.
fn diffusion_operations(
    config: &TransformerConfig,
    head: &ResidualHeadConfig,
    channels: usize,
) -> usize {
    let tokens = config.scales.tokens(config.scales.last());
    let (width, depth) = (head.width, head.depth);
    let rows = 2 * tokens;
    let step = linear(rows, channels, width)
        + linear(rows, config.width, width) // the condition
        + depth * (2 * linear(rows, width, width) + linear(rows, width, 3 * width))
        + linear(rows, width, 2 * width)
        + linear(rows, width, 2 * channels);
    linear(tokens, channels, config.width) + DIFFUSION_STEPS * step
}

/// The embedding of one diffusion time.
fn time_operations(width: usize) -> usize {
    linear(1, FREQUENCIES, width) + linear(1, width, width)
}

/// The decoder for one picture.
fn decoder_operations(config: &AutoencoderConfig) -> usize {
    let width = |level: usize| config.base_channels * config.channel_multipliers[level];
    let coarsest = config.channel_multipliers.len() - 1;
    let mut cells = config.scales.tokens(config.scales.last());
    let (mut channels, latent) = (width(coarsest), config.latent_channels);
    let mut sum = convolution(cells, KERNEL, latent, latent)
        + convolution(cells, KERNEL, latent, channels)
        + 2 * residual_block(cells, channels, channels)
        + attention_block(cells, channels);
    for level in (0..=coarsest).rev() {
        for _ in 0..BLOCKS {
            sum += residual_block(cells, channels, width(level));
            channels = width(level);
            if level == coarsest {
                sum += attention_block(cells, channels);
            }
        }
        if level > 0 {
            cells *= 4;
            sum += convolution(cells, KERNEL, channels, channels);
        }
    }
    sum + convolution(cells, KERNEL, channels, 3)
}

fn residual_block(cells: usize, inputs: usize, outputs: usize) -> usize {
    let shortcut = if inputs == outputs { 0 } else { convolution(cells, 1, inputs, outputs) };
    let convolutions =
        convolution(cells, KERNEL, inputs, outputs) + convolution(cells, KERNEL, outputs, outputs);
    convolutions + shortcut
}

fn attention_block(cells: usize, channels: usize) -> usize {
    linear(cells, channels, 3 * channels)
        + attention(cells, cells, channels)
        + linear(cells, channels, channels)
}

#[cfg(test)]
mod tests {
    use super::operations;
    use crate::phases::Phases;
    use crate::released::read;

    #[test]
    fn a_small_model_is_counted_as_by_hand() {
        let config = read(
            r#"{"attn_type": "llama", "mlp_type": "llama", "disable_aln": true,
                "shared_aln": true, "embed_dim": 4, "depth": 1, "num_heads": 1,
                "context_token": 3, "context_dim": 2, "patch_nums": [1, 2],
                "diff_width": 2, "diff_depth": 1}"#,
            r#"{"vocab_size": 5, "z_channels": 2, "ch": 1, "ch_mult": [1, 2], "norm_groups": 1,
                "quantizer_type": "var_hybrid", "v_patch_nums": [1, 2]}"#,
        );
        let config = config.expect("a configuration");
        // Two halves of 3 + 4 tokens; 3 and 7 keys; a feed-forward part 256 wide.
        let context = 2 * 6 * 2 * 4;
        let modulation = 2 * 2 * 4 * 8;
        let block = 14 * 2 * (4 * 12 + 4 * 4 + 3 * 4 * 256) + 2 * 4 * 4 * (3 * 3 + 4 * 7);
        let head = 14 * 2 * 4 * 5;
        let words = 4 * 2 * 2 * 4;
        let between = 4 * 2 * 9 * 2 * 2;
        let transformer = context + modulation + block + head + words + between;
        assert_eq!(transformer, 90_128);
        // 8 steps of 8 rows: input, condition, two layers, modulation of block and end, output.
        let step = 8 * 2 * (2 * 2 + 4 * 2 + 2 * 4 + 2 * 6 + 2 * 4 + 2 * 4);
        let time = 2 * (256 * 2 + 2 * 2);
        let diffusion = words + 8 * (step + time);
        assert_eq!(diffusion, 14_464);
        // 4 cells with 2 channels, then 16 cells with 1.
        let coarse = 4 * 2 * 9 * 2 * 2;
        let attention = 4 * 2 * 2 * 6 + 4 * 4 * 4 * 2 + 4 * 2 * 2 * 2;
        let fine = 16 * 2 * 9;
        let blocks = fine * 2 + fine + 16 * 2 * 2 + 2 * 2 * fine;
        let decoder =
            2 * coarse + 5 * 2 * coarse + 4 * attention + fine * 2 * 2 + blocks + fine * 3;
        assert_eq!(decoder, 8_576);
        assert_eq!(operations(&config, 1), Phases::sum(transformer, diffusion, decoder));
        let two = Phases::sum(2 * transformer, 2 * diffusion - 8 * time, 2 * decoder);
        assert_eq!(operations(&config, 2), two);
    }
}
