//! A tokenizer for images of twice the pixels that begins where a trained one has ended.
//!
//! A level is put before the encoder and behind the decoder. Its blocks begin as identities, and the
//! convolutions around them so that nothing is lost: of an image whose pixels are doubled the new
//! tokenizer makes the tokens that the old one makes of the image, and what it decodes, halved, is
//! what the old one decodes. So training has only the finer half to learn.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use hart_core::nn::{Convolution, ConvolutionConfig};
use hart_core::{Error, Result};

use crate::config::AutoencoderConfig;

/// Along an axis, what the new first convolution keeps of three pixels: the mean of the middle one
/// and the next, and the one before.
const FILTERS: [[f64; 3]; 2] = [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]];
/// Where the convolution after it, which goes two pixels a step, finds what the old first
/// convolution saw before, in the middle and behind: a filter, and the place in the kernel.
const TAPS: [[usize; 2]; 3] = [[1, 0], [0, 0], [0, 2]];
/// The last convolution on doubled pixels: the means of two of its results are the results of the
/// old one, and edges between pixels are half as wide as if they were doubled.
const LAST: [[f64; 3]; 3] = [[2.0, 0.0, 0.0], [-1.0, 1.0, -1.0], [0.0, 0.0, 2.0]];
/// Colours of a pixel.
const COLOURS: usize = 3;
/// Channels that carry an image through the finer level of the encoder.
const CARRIED: usize = FILTERS.len() * FILTERS.len() * COLOURS;

impl AutoencoderConfig {
    /// The configuration of [`HybridTokenizer::finer`](crate::HybridTokenizer::finer).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a first level that is wider than the base, for fewer than 12 channels,
    /// which cannot carry an image, and for 8 levels, the most there can be.
    pub fn finer(&self) -> Result<Self> {
        let (first, levels) = (self.channel_multipliers[0], self.channel_multipliers.len());
        if first != 1 {
            return Err(Error::invalid("the first of `ch_mult`", first, "1, as before it"));
        }
        if self.base_channels < CARRIED {
            let expected = format!("at least {CARRIED}");
            return Err(Error::invalid("`ch`", self.base_channels, expected));
        }
        if levels >= 8 {
            return Err(Error::invalid("the levels in `ch_mult`", levels, "at most 7"));
        }
        let mut finer = self.clone();
        finer.channel_multipliers.insert(0, 1);
        Ok(finer)
    }
}

/// The first convolution of a finer level, `[C, 3, 3, 3]`, and the one that halves it, `[C, C, 3, 3]`,
/// so that both do together on doubled pixels what `old` does. The channels that are not needed are
/// those of `fresh`.
pub(crate) fn split_first<B: Backend>(
    fresh: &Convolution<B>,
    old: &Convolution<B>,
) -> Result<[Convolution<B>; 2]> {
    let channels = old.bias().dims()[0];
    let (mut first, mut second) = (values(fresh)?, vec![0.0; channels * channels * 9]);
    let old_values = values(old)?;
    let filters = (0..FILTERS.len()).flat_map(|y| (0..FILTERS.len()).map(move |x| [y, x]));
    for (filter, [y, x]) in filters.enumerate() {
        for colour in 0..COLOURS {
            let channel = COLOURS * filter + colour;
            let kernel = &mut first[channel * COLOURS * 9..][..COLOURS * 9];
            kernel.fill(0.0);
            for place in 0..9 {
                let weight = FILTERS[y][place / 3] * FILTERS[x][place % 3];
                kernel[colour * 9 + place] = weight as f32;
            }
            for place in 0..9 {
                let [[of_y, to_y], [of_x, to_x]] = [TAPS[place / 3], TAPS[place % 3]];
                if [of_y, of_x] != [y, x] {
                    continue;
                }
                for output in 0..channels {
                    let weight = old_values[(output * COLOURS + colour) * 9 + place];
                    second[(output * channels + channel) * 9 + to_y * 3 + to_x] += weight;
                }
            }
        }
    }
    let device = old.bias().device();
    let none = Tensor::zeros([channels], &device);
    let halving =
        ConvolutionConfig { channels: [channels; 2], kernel: 3, padding: [0, 0, 1, 1], stride: 2 };
    let same = ConvolutionConfig::same(COLOURS, channels, 3);
    Ok([layer(same, first, none), layer(halving, second, old.bias())])
}

/// A convolution that changes nothing, for features of `channels` channels.
pub(crate) fn identity<B: Backend>(channels: usize, device: &B::Device) -> Convolution<B> {
    let mut values = vec![0.0; channels * channels * 9];
    (0..channels).for_each(|channel| values[(channel * channels + channel) * 9 + 4] = 1.0);
    layer(ConvolutionConfig::same(channels, channels, 3), values, Tensor::zeros([channels], device))
}

/// The last convolution `old`, `[3, C, 3, 3]`, for features that were doubled.
pub(crate) fn split_last<B: Backend>(old: &Convolution<B>) -> Result<Convolution<B>> {
    let value = |old: &[f32], place: usize| {
        let terms = old.iter().enumerate().map(|(from, value)| {
            f64::from(*value) * LAST[place / 3][from / 3] * LAST[place % 3][from % 3]
        });
        terms.sum::<f64>() as f32
    };
    let values = values(old)?;
    let channels = values.len() / COLOURS / 9;
    let kernels = values.chunks_exact(9);
    let split = kernels.flat_map(|old| (0..9).map(move |place| value(old, place))).collect();
    Ok(layer(ConvolutionConfig::same(channels, COLOURS, 3), split, old.bias()))
}

fn values<B: Backend>(convolution: &Convolution<B>) -> Result<Vec<f32>> {
    Ok(convolution.weight()?.into_data().iter::<f32>().collect())
}

fn layer<B: Backend>(
    config: ConvolutionConfig,
    values: Vec<f32>,
    bias: Tensor<B, 1>,
) -> Convolution<B> {
    let [input, output] = config.channels;
    let shape = [output, input, config.kernel, config.kernel];
    let weight = Tensor::from_data(TensorData::new(values, shape), &bias.device());
    config.with(weight, bias)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Tensor, TensorData};
    use hart_core::config::ConfigReader;
    use hart_core::nn::Prepare;
    use hart_core::{Error, Precision};

    use crate::{AutoencoderConfig, HybridTokenizer};

    type B = burn::backend::Flex;

    fn config(more: &str) -> AutoencoderConfig {
        let json = format!(
            r#"{{"quantizer_type": "var_hybrid", "ch": 16, "ch_mult": [1, 2], "norm_groups": 4,
                "z_channels": 4, "vocab_size": 16, "v_patch_nums": [1, 2, 4]{more}}}"#
        );
        AutoencoderConfig::read(&ConfigReader::parse("test", json.as_bytes()).expect("JSON"))
            .expect("a configuration")
    }

    /// Numbers that are not alike, in [-1, 1].
    fn noise<const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| ((i * 7919 + 13) % 2003) as f32 / 1001.0 - 1.0);
        let data = TensorData::new(values.collect::<Vec<_>>(), shape);
        Tensor::from_data(data, &Default::default())
    }

    /// Every pixel as a square of four.
    fn doubled(x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch * channels, height, 1, width, 1]).repeat(&[1, 1, 2, 1, 2]);
        x.reshape([batch, channels, 2 * height, 2 * width])
    }

    /// The means of squares of four pixels.
    fn halved(x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch * channels, height / 2, 2, width / 2, 2]);
        x.mean_dim(2).mean_dim(4).reshape([batch, channels, height / 2, width / 2])
    }

    fn assert_close(a: Tensor<B, 4>, b: Tensor<B, 4>) {
        assert_eq!(a.dims(), b.dims());
        let size = b.clone().abs().max().into_scalar();
        let apart = (a - b).abs().max().into_scalar();
        assert!(size > 0.01 && apart < 1e-4 * size.max(1.0), "{apart} apart, of {size}");
    }

    #[test]
    fn a_finer_tokenizer_does_what_the_old_one_does() {
        let config = config("");
        let device = Default::default();
        let old = HybridTokenizer::<B>::init(&config, &device).initialize(5).expect("weights");
        let new = old.clone().finer(&config, 6).expect("a finer one");
        assert_eq!((old.image_size().rows, new.image_size().rows), (8, 16));
        let image = noise([2, 3, 8, 8]);
        let wanted = old.encode_latent(image.clone(), &mut ());
        let found = new.encode_latent(doubled(image.clone()), &mut ());
        assert_close(found, wanted.clone());
        assert_close(
            halved(new.decode_latent(wanted.clone(), &mut ())),
            old.decode_latent(wanted, &mut ()),
        );
        // The tokens are the same, and the finer level can be loaded by its configuration.
        let unit = (image + 1.0) * 0.5;
        let [one, other] =
            [(&old, unit.clone()), (&new, doubled(unit))].map(|(tokenizer, image)| {
                let tokens = tokenizer.encode(image).expect("tokens").indices;
                tokens.into_iter().map(|codes| codes.into_data()).collect::<Vec<_>>()
            });
        assert_eq!(one, other);
        let names = |tokenizer: HybridTokenizer<B>, config: &AutoencoderConfig| {
            tokenizer.tensors(config).expect("weights").into_keys().collect::<Vec<_>>()
        };
        let finer = config.finer().expect("a configuration");
        assert_eq!(names(new, &finer), names(HybridTokenizer::init(&finer, &device), &finer));
    }

    #[test]
    fn what_a_finer_tokenizer_cannot_be_made_of_is_said() {
        let refused = |more: &str| config(more).finer().expect_err(more).to_string();
        assert!(refused(r#", "ch_mult": [2, 2]"#).contains("`ch_mult` is 2, expected 1"));
        assert!(refused(r#", "ch": 8"#).contains("`ch` is 8, expected at least 12"));
        assert!(refused(r#", "ch_mult": [1, 1, 1, 1, 1, 1, 1, 1]"#).contains("at most 7"));
        let config = config("");
        let mut prepared = HybridTokenizer::<B>::init(&config, &Default::default());
        prepared.prepare(Precision::F32);
        assert!(matches!(prepared.finer(&config, 1), Err(Error::Invalid { .. })));
    }
}
