//! Regression trees grown by Newton steps on the Poisson likelihood of counts, each with an offset: what is learnt is the
//! logarithm of a factor by which a forecast is to be multiplied.
//!
//! Source: Friedman (2001), "Greedy Function Approximation: A Gradient Boosting Machine"; leaf by leaf over binned traits as
//! in Ke et al. (2017), "LightGBM". Nothing is drawn by chance: the same rows grow the same trees.

use serde::{Deserialize, Serialize};

/// Trees, their leaves, and how much each of them may say.
const TREES: usize = 100;
const LEAVES: usize = 6;
const RATE: f64 = 0.05;

/// A leaf holds at least this share of the rows, and at least so many.
const LEAST_SHARE: f64 = 0.02;
const LEAST_ROWS: usize = 20;

/// So many counts' worth of opinion that a leaf changes nothing.
const PRIOR: f64 = 1.0;

/// Values of one trait that are told apart, at most.
const BINS: usize = 64;

/// One binary tree; the first node is its root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Node>);

/// A question about one trait, or an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Node {
    Leaf(f64),
    Split {
        #[serde(rename = "trait")]
        which: usize,
        /// Up to this goes low, above it high.
        at: f64,
        low: usize,
        high: usize,
    },
}

/// Trees whose answers add up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Trees(Vec<Tree>);

/// A table of traits, a count and an offset for each row.
pub(super) struct Rows<'a, const N: usize> {
    pub(super) traits: &'a [[f64; N]],
    pub(super) count: &'a [f64],
    pub(super) offset: &'a [f64],
}

/// What a stretch of rows says: Σ (count − forecast), Σ forecast, rows.
#[derive(Clone, Copy, Default)]
struct Sum {
    slope: f64,
    curve: f64,
    rows: usize,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.slope += other.slope;
        self.curve += other.curve;
        self.rows += other.rows;
    }

    fn without(self, other: Self) -> Self {
        Self {
            slope: self.slope - other.slope,
            curve: self.curve - other.curve,
            rows: self.rows - other.rows,
        }
    }

    fn gain(self) -> f64 {
        self.slope * self.slope / (self.curve + PRIOR)
    }

    fn answer(self) -> f64 {
        // No step of more than a factor e before it is slowed down.
        RATE * (self.slope / (self.curve + PRIOR)).clamp(-1.0, 1.0)
    }
}

/// A leaf that may still be split.
struct Open {
    node: usize,
    rows: Vec<u32>,
    all: Sum,
    best: Option<Cut>,
}

/// The best question to ask of some rows.
#[derive(Clone, Copy)]
struct Cut {
    gain: f64,
    which: usize,
    bin: usize,
}

impl Trees {
    pub(super) fn grow<const N: usize>(rows: &Rows<'_, N>) -> Self {
        let n = rows.traits.len();
        if n < 2 * LEAST_ROWS {
            return Self::default();
        }
        let least = ((LEAST_SHARE * n as f64) as usize).max(LEAST_ROWS);
        let edges: Vec<Vec<f64>> = (0..N).map(|which| edges(rows, which)).collect();
        let bins: Vec<[u8; N]> = rows
            .traits
            .iter()
            .map(|it| std::array::from_fn(|which| edges[which].partition_point(|at| *at < it[which]) as u8))
            .collect();
        let mut forecast = rows.offset.to_vec();
        let mut slope = vec![0.0; n];
        let mut trees = Vec::with_capacity(TREES);
        for _ in 0..TREES {
            for ((slope, count), forecast) in slope.iter_mut().zip(rows.count).zip(&forecast) {
                *slope = count - forecast;
            }
            let (tree, leaves) = grow_one(&bins, &edges, &slope, &forecast, least);
            for (answer, members) in &leaves {
                let factor = answer.exp();
                for i in members {
                    forecast[*i as usize] *= factor;
                }
            }
            let settled = leaves.len() == 1;
            trees.push(tree);
            if settled {
                break;
            }
        }
        Self(trees)
    }

    /// The logarithm of the factor.
    pub(super) fn answer<const N: usize>(&self, traits: &[f64; N]) -> f64 {
        self.0.iter().map(|it| it.answer(traits)).sum()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Tree {
    fn answer(&self, traits: &[f64]) -> f64 {
        let mut at = 0;
        // Children come after their parents, so this ends; a tree read from elsewhere may lack some.
        while let Some(node) = self.0.get(at) {
            match node {
                Node::Leaf(it) => return *it,
                Node::Split { which, at: edge, low, high } => {
                    let next = if traits.get(*which).is_some_and(|it| it <= edge) { *low } else { *high };
                    if next <= at {
                        return 0.0;
                    }
                    at = next;
                }
            }
        }
        0.0
    }
}

/// Where the values of a trait are told apart: at most [`BINS`] − 1 edges with about as many rows between them.
fn edges<const N: usize>(rows: &Rows<'_, N>, which: usize) -> Vec<f64> {
    let mut values: Vec<f64> = rows.traits.iter().map(|it| it[which]).collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    let mut edges: Vec<f64> = (1..BINS).map(|k| values[k * n / BINS]).collect();
    edges.dedup();
    edges
}

type Leaves = Vec<(f64, Vec<u32>)>;

fn grow_one<const N: usize>(
    bins: &[[u8; N]],
    edges: &[Vec<f64>],
    slope: &[f64],
    curve: &[f64],
    least: usize,
) -> (Tree, Leaves) {
    let look = |rows: Vec<u32>, node: usize| {
        let (all, best) = best_cut(bins, edges, slope, curve, &rows, least);
        Open { node, rows, all, best }
    };
    let everything = (0..bins.len() as u32).collect();
    let mut open = vec![look(everything, 0)];
    let mut nodes = vec![Node::Leaf(0.0)];
    while open.len() < LEAVES {
        let gain = |it: &Open| it.best.map_or(0.0, |it| it.gain);
        let Some(i) = (0..open.len()).max_by(|&a, &b| gain(&open[a]).total_cmp(&gain(&open[b]))) else {
            break;
        };
        let Some(cut) = open[i].best else { break };
        let Open { node, rows, .. } = open.swap_remove(i);
        let (low, high): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|it| usize::from(bins[*it as usize][cut.which]) <= cut.bin);
        let (first, second) = (nodes.len(), nodes.len() + 1);
        nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
        nodes[node] =
            Node::Split { which: cut.which, at: edges[cut.which][cut.bin], low: first, high: second };
        open.push(look(low, first));
        open.push(look(high, second));
    }
    let leaves = open
        .into_iter()
        .map(|it| {
            nodes[it.node] = Node::Leaf(it.all.answer());
            (it.all.answer(), it.rows)
        })
        .collect();
    (Tree(nodes), leaves)
}

fn best_cut<const N: usize>(
    bins: &[[u8; N]],
    edges: &[Vec<f64>],
    slope: &[f64],
    curve: &[f64],
    rows: &[u32],
    least: usize,
) -> (Sum, Option<Cut>) {
    let mut sums = vec![[Sum::default(); BINS]; N];
    for &i in rows {
        let i = i as usize;
        let it = Sum { slope: slope[i], curve: curve[i], rows: 1 };
        for (sums, bin) in sums.iter_mut().zip(&bins[i]) {
            sums[usize::from(*bin)].add(it);
        }
    }
    let mut all = Sum::default();
    if let Some(sums) = sums.first() {
        sums.iter().for_each(|it| all.add(*it));
    }
    let mut best: Option<Cut> = None;
    for (which, sums) in sums.iter().enumerate() {
        let mut below = Sum::default();
        for (bin, it) in sums.iter().enumerate().take(edges[which].len()) {
            below.add(*it);
            let above = all.without(below);
            if below.rows < least || above.rows < least {
                continue;
            }
            let gain = below.gain() + above.gain() - all.gain();
            if gain > best.map_or(1e-9, |it| it.gain) {
                best = Some(Cut { gain, which, bin });
            }
        }
    }
    (all, best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_find_who_orders_more_than_foretold() {
        // Those with the first trait above 5 order twice as often as foretold; the second trait says nothing.
        let traits: Vec<[f64; 2]> = (0..4000).map(|i| [f64::from(i % 10), f64::from(i % 7)]).collect();
        let count: Vec<f64> = (0..4000).map(|i| if i % 10 > 5 { 2.0 } else { f64::from(i % 2) }).collect();
        let offset = vec![1.0; 4000];
        let rows = Rows { traits: &traits, count: &count, offset: &offset };
        let trees = Trees::grow(&rows);
        assert!((trees.answer(&[9.0, 3.0]).exp() - 2.0).abs() < 0.03, "{}", trees.answer(&[9.0, 3.0]).exp());
        assert!((trees.answer(&[3.0, 3.0]).exp() - 1.0).abs() < 0.03 || trees.len() == TREES);
        assert_eq!(trees, Trees::grow(&rows));
        let text = serde_json::to_string(&trees).expect("trees are JSON");
        assert_eq!(serde_json::from_str::<Trees>(&text).expect("and read back"), trees);
        assert_eq!(
            Trees::grow(&Rows { traits: &traits[..30], count: &count[..30], offset: &offset[..30] }).len(),
            0
        );
    }
}
