//! Convolutions by every algorithm.

use hart_core::kernels::cpu::convolution::{Algorithm, Geometry, PackedKernels};

use crate::{assert_close, values};

fn convolve(
    images: &[f32],
    kernels: &[f32],
    bias: &[f32],
    geometry: &Geometry,
    [height, width]: [usize; 2],
) -> Vec<f64> {
    let [inputs, _] = geometry.channels;
    let [down, across] = geometry.output([height, width]);
    let mut out = vec![];
    for image in images.chunks(inputs * height * width) {
        for (output, bias) in bias.iter().enumerate() {
            for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                let mut sum = f64::from(*bias);
                for input in 0..inputs {
                    for (i, j) in (0..geometry.kernel[0])
                        .flat_map(|i| (0..geometry.kernel[1]).map(move |j| (i, j)))
                    {
                        let row = (y * geometry.stride[0] + i).wrapping_sub(geometry.padding[0]);
                        let column = (x * geometry.stride[1] + j).wrapping_sub(geometry.padding[1]);
                        if row < height && column < width {
                            let pixel = image[(input * height + row) * width + column];
                            let at = (output * inputs + input) * geometry.kernel[0] + i;
                            let weight = kernels[at * geometry.kernel[1] + j];
                            sum += f64::from(pixel) * f64::from(weight);
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

#[test]
fn convolutions_sum_over_patches() {
    for (batch, channels, size, kernel, padding, stride) in [
        (2, [5, 17], [13, 11], 3, 1, 1),
        (1, [60, 20], [9, 40], 3, 1, 1),
        (2, [7, 9], [10, 13], 1, 0, 1),
        (1, [6, 33], [12, 15], 3, 1, 2),
        (1, [6, 5], [12, 15], 4, 2, 2),
        (1, [1, 1], [1, 1], 3, 1, 1),
        // Too many channels for their transformed kernels to be kept.
        (1, [150, 173], [5, 6], 3, 1, 1),
    ] {
        let geometry =
            Geometry { channels, kernel: [kernel; 2], padding: [padding; 2], stride: [stride; 2] };
        let [inputs, outputs] = channels;
        let images = values(batch * inputs * size[0] * size[1], 1);
        let (kernels, bias) = (values(outputs * inputs * kernel * kernel, 2), values(outputs, 3));
        let expected = convolve(&images, &kernels, &bias, &geometry, size);
        let packed = PackedKernels::new(&kernels, &bias, geometry);
        let mut algorithms = vec![(Algorithm::Direct, 1e-5)];
        if (kernel, padding, stride) == (3, 1, 1) {
            algorithms.push((Algorithm::Winograd, 3e-5));
        }
        for (algorithm, tolerance) in algorithms {
            let mut found = vec![f32::NAN; expected.len()];
            packed.convolve_by(algorithm, &images, size, &mut found);
            let what = format!("{geometry:?} on {size:?}, {algorithm:?}");
            assert_close(&found, &expected, tolerance, &what);
        }
    }
}
