//! The weights of a stack: those under which what came was most likely.

/// Newton steps, at most; a dozen are usual.
const MOST_STEPS: usize = 100;

/// So many customers' worth of opinion that all members are alike keeps weights off the edge where data are few.
const PRIOR: f64 = 10.0;

/// Weights that maximise Σ ln Σ_k w_k p_k over rows of chances, one for each member, under a weak prior that all are alike
/// (which adds PRIOR/m · Σ_k ln w_k). The problem is concave and the weights stay inside, so Newton's method on the plane
/// of weights that add up to 1 finds the one answer.
pub(super) fn learn(rows: &[&[f64]], members: usize) -> Vec<f64> {
    let each = PRIOR / members as f64;
    let mut weights = vec![1.0 / members as f64; members];
    let mut value = objective(rows, each, &weights);
    for _ in 0..MOST_STEPS {
        let Some(step) = newton(rows, each, &weights) else { break };
        // Never more than nine tenths of the way to where a weight would vanish.
        let room = step.iter().zip(&weights).filter(|it| *it.0 < 0.0).map(|(s, w)| -0.9 * w / s);
        let mut length = room.fold(1.0, f64::min);
        let moved = loop {
            let next: Vec<f64> = weights.iter().zip(&step).map(|(w, s)| w + length * s).collect();
            let reached = objective(rows, each, &next);
            if reached >= value {
                let moved = length * step.iter().fold(0.0_f64, |most, it| most.max(it.abs()));
                (weights, value) = (next, reached);
                break moved;
            }
            length *= 0.5;
            if length < 1e-9 {
                break 0.0;
            }
        };
        if moved < 1e-9 {
            break;
        }
    }
    let all: f64 = weights.iter().sum();
    weights.iter().map(|it| it / all).collect()
}

fn objective(rows: &[&[f64]], each: f64, weights: &[f64]) -> f64 {
    let pooled = |row: &&[f64]| row.iter().zip(weights).map(|(p, w)| p * w).sum::<f64>();
    let data: f64 = rows.iter().map(|row| pooled(row).max(f64::MIN_POSITIVE).ln()).sum();
    data + each * weights.iter().map(|it| it.ln()).sum::<f64>()
}

/// The Newton step on the plane Σ w = 1, from the gradient, the Hessian and one multiplier.
fn newton(rows: &[&[f64]], each: f64, weights: &[f64]) -> Option<Vec<f64>> {
    let m = weights.len();
    let n = m + 1;
    // The system, its right side in the last column.
    let mut system = vec![0.0; n * (n + 1)];
    for row in rows {
        let pooled: f64 = row.iter().zip(weights).map(|(p, w)| p * w).sum();
        let scale = 1.0 / pooled.max(f64::MIN_POSITIVE);
        for (i, p) in row.iter().enumerate() {
            let ratio = p * scale;
            system[i * (n + 1) + n] -= ratio;
            for (j, q) in row.iter().enumerate() {
                system[i * (n + 1) + j] -= ratio * q * scale;
            }
        }
    }
    for (i, w) in weights.iter().enumerate() {
        system[i * (n + 1) + i] -= each / (w * w);
        system[i * (n + 1) + n] -= each / w;
        system[i * (n + 1) + m] = 1.0;
        system[m * (n + 1) + i] = 1.0;
    }
    let solved = solve(system, n)?;
    Some(solved[..m].to_vec())
}

/// Gaussian elimination with the largest pivot; nothing where there is none.
fn solve(mut system: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    let wide = n + 1;
    for column in 0..n {
        let size = |row: &usize| system[row * wide + column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        if system[pivot * wide + column].abs() < 1e-300 {
            return None;
        }
        for k in 0..wide {
            system.swap(column * wide + k, pivot * wide + k);
        }
        for row in 0..n {
            if row == column {
                continue;
            }
            let factor = system[row * wide + column] / system[column * wide + column];
            for k in column..wide {
                system[row * wide + k] -= factor * system[column * wide + k];
            }
        }
    }
    let solution: Vec<f64> = (0..n).map(|i| system[i * wide + n] / system[i * wide + i]).collect();
    solution.iter().all(|it| it.is_finite()).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::learn;

    #[test]
    fn the_member_that_was_right_gets_the_weight() {
        let rows: Vec<Vec<f64>> =
            (0..900).map(|i| if i % 3 == 0 { vec![0.9, 0.1] } else { vec![0.1, 0.9] }).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let weights = learn(&rows, 2);
        // A third of 0.9 and two thirds of 0.1, solved for the weight: (1/3 − 0.1)/0.8 = 0.2917; the prior adds a little.
        assert!((weights[0] - 0.2955).abs() < 0.0005, "{weights:?}");
        assert!((weights[0] + weights[1] - 1.0).abs() < 1e-12);
        assert!(learn(&[], 4).iter().all(|it| (it - 0.25).abs() < 1e-12));
        // One that is never right keeps no more than the prior gives it.
        let rows: Vec<&[f64]> = vec![&[0.5, 0.001]; 5_000];
        let weights = learn(&rows, 2);
        assert!(weights[1] > 0.0 && weights[1] < 0.002, "{weights:?}");
    }
}
