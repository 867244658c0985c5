//! Lengths and shapes in block characters.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of at most `width` blocks, `most` being a full one. Anything above nothing shows at least one block.
#[must_use]
pub fn bar(value: u64, most: u64, width: usize) -> String {
    if value == 0 || most == 0 {
        return String::new();
    }
    let width = u64::try_from(width).unwrap_or(u64::MAX);
    let blocks = (u128::from(value) * u128::from(width)).div_ceil(u128::from(most)).min(u128::from(width));
    "▇".repeat(usize::try_from(blocks).unwrap_or_default())
}

/// One column for each value, the highest one full.
#[must_use]
pub fn histogram(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or_default().max(1);
    let level = |value: &u64| {
        let step = (u128::from(*value) * 8).div_ceil(u128::from(most)).clamp(1, 8);
        LEVELS[usize::try_from(step - 1).unwrap_or_default()]
    };
    values.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_in_proportion_and_never_hides_anything() {
        assert_eq!(bar(5_512, 5_512, 5), "▇▇▇▇▇");
        assert_eq!(bar(1, 5_512, 5), "▇");
        assert_eq!(bar(0, 5_512, 5), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 3), "▇▇▇");
    }

    #[test]
    fn the_highest_column_is_full() {
        assert_eq!(histogram(&[1, 4, 8, 0]), "▁▄█▁");
        assert_eq!(histogram(&[]), "");
    }
}
