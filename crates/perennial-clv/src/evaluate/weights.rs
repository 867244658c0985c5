//! The weights of a stack: those under which what came was most likely.

/// Steps of expectation and maximisation, at most.
const MOST_STEPS: usize = 1_000;

/// So many customers' worth of opinion that all members are alike keeps weights off the edge where data are few.
const PRIOR: f64 = 10.0;

/// Weights that maximise Σ ln Σ_k w_k p_k over rows of chances, one for each member, by expectation and maximisation,
/// under a weak prior that all are alike. The problem is concave: there is one answer.
pub(super) fn learn(rows: &[&[f64]], members: usize) -> Vec<f64> {
    let mut weights = vec![1.0 / members as f64; members];
    for _ in 0..MOST_STEPS {
        let mut sums = vec![PRIOR / members as f64; members];
        for row in rows {
            let total: f64 = row.iter().zip(&weights).map(|(p, w)| p * w).sum();
            let scale = 1.0 / total.max(f64::MIN_POSITIVE);
            for ((sum, p), w) in sums.iter_mut().zip(*row).zip(&weights) {
                *sum += p * w * scale;
            }
        }
        let all: f64 = sums.iter().sum();
        let mut moved = 0.0_f64;
        for (weight, sum) in weights.iter_mut().zip(&sums) {
            let next = sum / all;
            moved = moved.max((next - *weight).abs());
            *weight = next;
        }
        if moved < 1e-5 {
            break;
        }
    }
    weights
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
        // A third of 0.9 and two thirds of 0.1, solved for the weight: (1/3 − 0.1)/0.8.
        assert!((weights[0] - 0.29).abs() < 0.01, "{weights:?}");
        assert!((weights[0] + weights[1] - 1.0).abs() < 1e-12);
        assert_eq!(learn(&[], 4), [0.25; 4]);
    }
}
