//! Matrix products in 32 bits and of integers.

use half::{bf16, f16};
use hart_core::kernels::cpu::int8::Int8Matrix;
use hart_core::kernels::cpu::matrix::PackedMatrix;
use hart_core::kernels::cpu::stored::Stored;

use crate::{assert_close, values};

fn product(rows: &[f32], matrix: &[f32], bias: &[f32], [inputs, outputs]: [usize; 2]) -> Vec<f64> {
    let row = |row: &[f32]| -> Vec<f64> {
        let entry = |j: usize| {
            let terms = row.iter().enumerate();
            let sum: f64 =
                terms.map(|(i, &x)| f64::from(x) * f64::from(matrix[i * outputs + j])).sum();
            sum + f64::from(bias[j])
        };
        (0..outputs).map(entry).collect()
    };
    rows.chunks(inputs).flat_map(row).collect()
}

/// The product of rows with a matrix that is kept in another type, beside that of the values it keeps.
fn assert_multiplies<T: Stored>(keep: impl Fn(f32) -> T, wide: impl Fn(&T) -> f32, what: &str) {
    for (rows, inputs, outputs) in
        [(1, 1, 1), (3, 5, 7), (14, 32, 64), (15, 513, 33), (37, 700, 101), (230, 40, 70)]
    {
        let (x, bias) = (values(rows * inputs, 1), values(outputs, 3));
        let matrix: Vec<T> = values(inputs * outputs, 2).into_iter().map(&keep).collect();
        let mut found = vec![f32::NAN; rows * outputs];
        PackedMatrix::new(&matrix, Some(&bias), [inputs, outputs]).multiply(&x, &mut found);
        let matrix: Vec<f32> = matrix.iter().map(&wide).collect();
        let expected = product(&x, &matrix, &bias, [inputs, outputs]);
        assert_close(&found, &expected, 1e-5, &format!("{rows} × {inputs} × {outputs} {what}"));
    }
}

#[test]
fn a_packed_matrix_multiplies_whatever_it_is_kept_in() {
    assert_multiplies(|x| x, |x| *x, "in 32 bits");
    assert_multiplies(bf16::from_f32, |x| x.to_f32(), "as bf16");
    assert_multiplies(f16::from_f32, |x| x.to_f32(), "as f16");
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let (inputs, outputs) = (600, 70);
    let (x, matrix) = (values(150 * inputs, 1), values(inputs * outputs, 2));
    let packed = PackedMatrix::new(&matrix, None, [inputs, outputs]);
    let mut all = vec![0.0; 150 * outputs];
    packed.multiply(&x, &mut all);
    for row in [0, 13, 111, 149] {
        let mut alone = vec![0.0; outputs];
        packed.multiply(&x[row * inputs..][..inputs], &mut alone);
        assert_eq!(alone, all[row * outputs..][..outputs]);
    }
}

#[test]
fn a_matrix_of_integers_multiplies_nearly() {
    for (rows, inputs, outputs) in [(1, 16, 3), (37, 700, 101), (515, 64, 48)] {
        let (x, matrix) = (values(rows * inputs, 1), values(inputs * outputs, 2));
        let bias = values(outputs, 3);
        let mut found = vec![f32::NAN; rows * outputs];
        Int8Matrix::new(&matrix, Some(&bias), [inputs, outputs]).multiply(&x, &mut found);
        let expected = product(&x, &matrix, &bias, [inputs, outputs]);
        let power: f64 = expected.iter().map(|value| value * value).sum();
        let differences = found.iter().zip(&expected).map(|(&a, b)| f64::from(a) - b);
        let error: f64 = differences.map(|difference| difference * difference).sum();
        let ratio = 10.0 * (power / error).log10();
        assert!(ratio > 36.0, "{rows} × {inputs} × {outputs}: {ratio:.1} dB");
    }
}

#[test]
fn integers_do_not_overflow() {
    // All inputs and weights at their largest: every sum is exact, on every processor.
    let (rows, inputs, outputs) = (5, 301, 37);
    let sign = |i: usize| if i.is_multiple_of(3) { -1.0 } else { 1.0 };
    let x: Vec<f32> =
        (0..rows * inputs).map(|i: usize| if i.is_multiple_of(7) { 1.0 } else { 255.0 }).collect();
    let matrix: Vec<f32> = (0..inputs * outputs).map(|i| 127.0 * sign(i % outputs)).collect();
    let mut found = vec![f32::NAN; rows * outputs];
    Int8Matrix::new(&matrix, None, [inputs, outputs]).multiply(&x, &mut found);
    let bias = vec![0.0; outputs];
    let expected = product(&x, &matrix, &bias, [inputs, outputs]);
    assert_close(&found, &expected, 1e-6, "integers");
}
