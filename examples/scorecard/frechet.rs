//! The Fréchet distance between a model's images and those of the data set.

use hart_examples::gallery::features;
use image::RgbImage;
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// The number of axes that images are projected to.
const AXES: usize = 64;

/// The principal axes of the data set's images.
pub(crate) struct Axes {
    mean: DVector<f64>,
    axes: DMatrix<f64>,
}

/// A cloud of points: its mean and covariance.
struct Cloud {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

fn rows(images: &[RgbImage]) -> DMatrix<f64> {
    let rows: Vec<Vec<f32>> = images.iter().map(features).collect();
    DMatrix::from_fn(rows.len(), rows[0].len(), |i, j| f64::from(rows[i][j]))
}

fn cloud(points: &DMatrix<f64>) -> Cloud {
    let mean = points.row_mean().transpose();
    let mut centred = points.clone();
    centred.row_iter_mut().for_each(|mut row| row -= mean.transpose());
    let covariance = centred.transpose() * &centred / (points.nrows() as f64 - 1.0);
    Cloud { mean, covariance }
}

impl Axes {
    /// The axes along which these images vary most.
    pub(crate) fn learn(images: &[RgbImage]) -> Self {
        let Cloud { mean, covariance } = cloud(&rows(images));
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let columns: Vec<DVector<f64>> =
            order.iter().take(AXES).map(|&i| eigen.eigenvectors.column(i).into_owned()).collect();
        Self { mean, axes: DMatrix::from_columns(&columns) }
    }

    fn project(&self, images: &[RgbImage]) -> DMatrix<f64> {
        let mut points = rows(images);
        points.row_iter_mut().for_each(|mut row| row -= self.mean.transpose());
        points * &self.axes
    }

    /// The Fréchet distance of two sets of images.
    pub(crate) fn distance(&self, a: &[RgbImage], b: &[RgbImage]) -> f64 {
        let (a, b) = (cloud(&self.project(a)), cloud(&self.project(b)));
        let root = root(&a.covariance);
        let both = self::root(&(&root * &b.covariance * &root));
        (a.mean - b.mean).norm_squared() + (a.covariance + b.covariance).trace()
            - 2.0 * both.trace()
    }
}

/// The square root of a positive semidefinite matrix.
fn root(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let symmetric = (matrix + matrix.transpose()) / 2.0;
    let eigen = SymmetricEigen::new(symmetric);
    let roots = eigen.eigenvalues.map(|value| value.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}
