//! Sums over one arm from which means, variances and regressions follow, so that millions of rows become a few numbers.

/// How many things are known before entry: pre-period profit and predicted CLV.
pub const COVARIATES: usize = 2;

/// Sums over the customers of one arm for one outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Customers.
    pub n: f64,
    /// Sums of the covariates.
    pub x: [f64; COVARIATES],
    /// Sums of their products, by row and column.
    pub xx: [[f64; COVARIATES]; COVARIATES],
    /// Sum of the outcome.
    pub y: f64,
    /// Sum of its square.
    pub yy: f64,
    /// Sums of covariate times outcome.
    pub xy: [f64; COVARIATES],
}

impl Moments {
    /// Takes in one customer.
    #[cfg(test)]
    pub fn add(&mut self, x: [f64; COVARIATES], y: f64) {
        self.n += 1.0;
        self.y += y;
        self.yy += y * y;
        for i in 0..COVARIATES {
            self.x[i] += x[i];
            self.xy[i] += x[i] * y;
            for (j, other) in x.iter().enumerate() {
                self.xx[i][j] += x[i] * other;
            }
        }
    }

    /// The mean of the outcome.
    pub fn mean(&self) -> f64 {
        if self.n > 0.0 { self.y / self.n } else { 0.0 }
    }

    /// The mean of a covariate.
    pub fn mean_x(&self, i: usize) -> f64 {
        if self.n > 0.0 { self.x[i] / self.n } else { 0.0 }
    }

    /// Mean product of deviations of two covariates.
    pub fn cov_xx(&self, i: usize, j: usize) -> f64 {
        if self.n > 0.0 { self.xx[i][j] / self.n - self.mean_x(i) * self.mean_x(j) } else { 0.0 }
    }

    /// Mean product of deviations of a covariate and the outcome.
    pub fn cov_xy(&self, i: usize) -> f64 {
        if self.n > 0.0 { self.xy[i] / self.n - self.mean_x(i) * self.mean() } else { 0.0 }
    }

    /// Mean squared deviation of the outcome.
    pub fn variance(&self) -> f64 {
        if self.n > 0.0 { (self.yy / self.n - self.mean() * self.mean()).max(0.0) } else { 0.0 }
    }

    /// Coefficients of the least-squares line of the outcome over the covariates; zero for what does not vary.
    pub fn slopes(&self) -> [f64; COVARIATES] {
        // A customer each for the coefficients would only fit noise.
        if self.n < 50.0 {
            return [0.0; COVARIATES];
        }
        let (a, b, d) = (self.cov_xx(0, 0), self.cov_xx(0, 1), self.cov_xx(1, 1));
        let (p, q) = (self.cov_xy(0), self.cov_xy(1));
        let determinant = a * d - b * b;
        if determinant > 1e-9 * a * d && a > 0.0 && d > 0.0 {
            return [(d * p - b * q) / determinant, (a * q - b * p) / determinant];
        }
        if a > 0.0 {
            return [p / a, 0.0];
        }
        [0.0, if d > 0.0 { q / d } else { 0.0 }]
    }

    /// Both arms together.
    pub fn with(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.n += other.n;
        sum.y += other.y;
        sum.yy += other.yy;
        for i in 0..COVARIATES {
            sum.x[i] += other.x[i];
            sum.xy[i] += other.xy[i];
            for j in 0..COVARIATES {
                sum.xx[i][j] += other.xx[i][j];
            }
        }
        sum
    }
}
