//! A trust-region Newton method for a handful of parameters: exact steps from the eigenvectors of a Hessian that
//! is the difference of analytic gradients, inside a box.

/// Half the width of the box in logarithms: parameters between e⁻¹⁵ and e¹⁵ of the scale of the data.
pub(crate) const BOX: f64 = 15.0;

/// What is minimised. A value that is not finite counts as infinitely bad and makes the region shrink.
pub(crate) trait Objective {
    /// How many parameters there are.
    fn dimension(&self) -> usize;
    /// Whether this parameter is held where it starts.
    fn pinned(&self, _: usize) -> bool {
        false
    }
    /// The value, and the gradient into `gradient`.
    fn value(&self, at: &[f64], gradient: &mut [f64]) -> f64;
}

/// Where the search ended, and all that is needed to judge whether that is an optimum.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) at: Vec<f64>,
    pub(crate) value: f64,
    /// The largest component of the gradient over the parameters inside.
    pub(crate) gradient_max: f64,
    /// The smallest eigenvalue of the Hessian over the parameters inside.
    pub(crate) least_curvature: f64,
    /// The parameter along which there is least curvature.
    pub(crate) flattest: Option<usize>,
    /// The inverse of the Hessian, row by row, where it is positive definite; zero for parameters at the edge.
    pub(crate) covariance: Option<Vec<f64>>,
    /// Parameters pressed against the box or pinned.
    pub(crate) bound: Vec<usize>,
    pub(crate) evaluations: u32,
}

/// Minimises from `start`; `goal` is the gradient at which the search is content.
pub(crate) fn minimise(objective: &impl Objective, start: &[f64], goal: f64) -> Option<Found> {
    let mut search = Search { objective, evaluations: 0 };
    debug_assert_eq!(start.len(), objective.dimension());
    let mut at: Vec<f64> = start.iter().map(|it| it.clamp(-BOX, BOX)).collect();
    let (mut value, mut gradient) = search.evaluate(&at)?;
    let mut radius = 1.0_f64;
    // The Hessian serves again while steps by it make the gradient fall fast: evaluations are what costs.
    let mut known: Option<(Vec<usize>, Vec<f64>, Vec<f64>)> = None;
    for _ in 0..200 {
        let free: Vec<usize> = free(&at, &gradient).into_iter().filter(|&i| !objective.pinned(i)).collect();
        let steep = largest(&gradient, &free);
        if steep <= goal || free.is_empty() {
            break;
        }
        let (values, vectors) = match known.take().filter(|it| it.0 == free) {
            Some((_, values, vectors)) => (values, vectors),
            None => eigen(search.hessian(&at, &gradient, &free)?, free.len()),
        };
        let slope: Vec<f64> = free.iter().map(|&i| gradient[i]).collect();
        let mut improved = false;
        while radius > 1e-12 {
            let (step, predicted) = region_step(&values, &vectors, &slope, radius);
            let mut next = at.clone();
            for (&i, s) in free.iter().zip(&step) {
                next[i] = (at[i] + s).clamp(-BOX, BOX);
            }
            let Some((new_value, new_gradient)) = search.evaluate(&next) else {
                radius *= 0.25;
                continue;
            };
            let gained = value - new_value;
            // Near the optimum the gain drowns in rounding; there a smaller gradient is the better judge.
            let noise = 1e-13 * value.abs().max(1.0);
            let quiet = predicted < noise && largest(&new_gradient, &free) < largest(&gradient, &free);
            if gained > 1e-4 * predicted || quiet {
                let long = step.iter().map(|it| it * it).sum::<f64>().sqrt() > 0.8 * radius;
                if gained > 0.7 * predicted && long {
                    radius = (2.5 * radius).min(10.0);
                }
                (at, value, gradient) = (next, new_value, new_gradient);
                improved = true;
                break;
            }
            let length = step.iter().map(|it| it * it).sum::<f64>().sqrt();
            radius = 0.25 * length.min(radius);
        }
        if !improved {
            break;
        }
        if largest(&gradient, &free) < 0.1 * steep {
            known = Some((free, values, vectors));
        }
        radius = radius.max(1e-3);
    }
    search.judge(at, value, &gradient)
}

struct Search<'a, O> {
    objective: &'a O,
    evaluations: u32,
}

impl<O: Objective> Search<'_, O> {
    fn evaluate(&mut self, at: &[f64]) -> Option<(f64, Vec<f64>)> {
        self.evaluations += 1;
        let mut gradient = vec![0.0; at.len()];
        let value = self.objective.value(at, &mut gradient);
        (value.is_finite() && gradient.iter().all(|it| it.is_finite())).then_some((value, gradient))
    }

    /// The Hessian over the free parameters, by forward differences of the gradient.
    fn hessian(&mut self, at: &[f64], gradient: &[f64], free: &[usize]) -> Option<Vec<f64>> {
        const H: f64 = 1e-5;
        let n = free.len();
        let mut hessian = vec![0.0; n * n];
        for (row, &i) in free.iter().enumerate() {
            let mut moved = at.to_vec();
            moved[i] += H;
            let (_, above) = self.evaluate(&moved)?;
            for (column, &j) in free.iter().enumerate() {
                hessian[row * n + column] = (above[j] - gradient[j]) / H;
            }
        }
        for row in 0..n {
            for column in 0..row {
                let mean = 0.5 * (hessian[row * n + column] + hessian[column * n + row]);
                hessian[row * n + column] = mean;
                hessian[column * n + row] = mean;
            }
        }
        Some(hessian)
    }

    /// Looks at the curvature over the parameters that are not at the edge.
    fn judge(mut self, at: Vec<f64>, value: f64, gradient: &[f64]) -> Option<Found> {
        let (bound, inner): (Vec<usize>, Vec<usize>) =
            (0..at.len()).partition(|&i| at[i].abs() > BOX - 0.05 || self.objective.pinned(i));
        let (n, all) = (inner.len(), at.len());
        let mut found = Found {
            gradient_max: largest(gradient, &inner),
            value,
            least_curvature: f64::NEG_INFINITY,
            flattest: inner.first().copied(),
            covariance: None,
            bound,
            evaluations: 0,
            at,
        };
        if let Some(hessian) = self.hessian(&found.at, gradient, &inner) {
            let (values, vectors) = eigen(hessian, n);
            let least = (0..n).min_by(|&i, &j| values[i].total_cmp(&values[j]));
            found.least_curvature = least.map_or(f64::INFINITY, |k| values[k]);
            if let Some(k) = least {
                let part = |i: usize| vectors[i * n + k].abs();
                found.flattest = (0..n).max_by(|&i, &j| part(i).total_cmp(&part(j))).map(|i| inner[i]);
            }
            if found.least_curvature > 0.0 {
                let mut inverse = vec![0.0; all * all];
                for (k, value) in values.iter().enumerate() {
                    for (i, &row) in inner.iter().enumerate() {
                        for (j, &column) in inner.iter().enumerate() {
                            inverse[row * all + column] += vectors[i * n + k] * vectors[j * n + k] / value;
                        }
                    }
                }
                found.covariance = Some(inverse);
            }
        }
        found.evaluations = self.evaluations;
        Some(found)
    }
}

/// The parameters that are not pressed against the box.
fn free(at: &[f64], gradient: &[f64]) -> Vec<usize> {
    (0..at.len())
        .filter(|&i| {
            let (low, high) = (at[i] <= -BOX, at[i] >= BOX);
            !(low && gradient[i] > 0.0 || high && gradient[i] < 0.0)
        })
        .collect()
}

fn largest(gradient: &[f64], of: &[usize]) -> f64 {
    of.iter().map(|&i| gradient[i].abs()).fold(0.0, f64::max)
}

/// The minimiser of the quadratic model within the radius, and the gain it promises.
fn region_step(values: &[f64], vectors: &[f64], gradient: &[f64], radius: f64) -> (Vec<f64>, f64) {
    let n = values.len();
    let along: Vec<f64> = (0..n).map(|k| (0..n).map(|i| vectors[i * n + k] * gradient[i]).sum()).collect();
    let largest = values.iter().fold(0.0_f64, |most, it| most.max(it.abs()));
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let length = |shift: f64| -> f64 {
        along.iter().zip(values).map(|(g, v)| (g / (v + shift)).powi(2)).sum::<f64>().sqrt()
    };
    let floor = (1e-12 * largest).max(1e-300);
    let mut shift = if least > floor { 0.0 } else { floor - least };
    if length(shift) > radius {
        let (mut low, mut high) = (shift, shift.max(largest).max(1e-12));
        while length(high) > radius {
            high *= 4.0;
        }
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if length(middle) > radius { low = middle } else { high = middle }
        }
        shift = high;
    }
    let (mut step, mut gain) = (vec![0.0; n], 0.0);
    for k in 0..n {
        let s = -along[k] / (values[k] + shift);
        gain -= along[k] * s + 0.5 * values[k] * s * s;
        for i in 0..n {
            step[i] += vectors[i * n + k] * s;
        }
    }
    (step, gain.max(0.0))
}

/// Eigenvalues and eigenvectors (in columns) of a symmetric matrix, by Jacobi rotations.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v = vec![0.0; n * n];
    for i in 0..n {
        v[i * n + i] = 1.0;
    }
    for _ in 0..60 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let on: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= 1e-32 * on || off == 0.0 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (kp, kq) = (a[k * n + p], a[k * n + q]);
                    a[k * n + p] = c * kp - s * kq;
                    a[k * n + q] = s * kp + c * kq;
                }
                for k in 0..n {
                    let (pk, qk) = (a[p * n + k], a[q * n + k]);
                    a[p * n + k] = c * pk - s * qk;
                    a[q * n + k] = s * pk + c * qk;
                }
                for k in 0..n {
                    let (kp, kq) = (v[k * n + p], v[k * n + q]);
                    v[k * n + p] = c * kp - s * kq;
                    v[k * n + q] = s * kp + c * kq;
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley, in which first-order methods crawl.
    struct Valley;

    impl Objective for Valley {
        fn dimension(&self) -> usize {
            2
        }

        fn value(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
            let (x, y) = (at[0], at[1]);
            gradient[0] = -2.0 * (1.0 - x) - 400.0 * x * (y - x * x);
            gradient[1] = 200.0 * (y - x * x);
            (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2)
        }
    }

    #[test]
    fn the_bottom_of_a_curved_valley_is_found() {
        let found = minimise(&Valley, &[-1.2, 1.0], 1e-9).expect("finite everywhere");
        assert!((found.at[0] - 1.0).abs() < 1e-8 && (found.at[1] - 1.0).abs() < 1e-8);
        assert!(found.least_curvature > 0.0 && found.bound.is_empty());
    }

    /// Falls for ever to the right.
    struct Slope;

    impl Objective for Slope {
        fn dimension(&self) -> usize {
            1
        }

        fn value(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
            gradient[0] = -(-at[0]).exp();
            (-at[0]).exp()
        }
    }

    #[test]
    fn a_minimum_at_infinity_ends_at_the_box() {
        let found = minimise(&Slope, &[0.0], 1e-12).expect("finite everywhere");
        assert_eq!(found.bound, [0]);
    }
}
