//! Aligned columns.

/// To which side of its column a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Left, for words.
    Left,
    /// Right, for numbers.
    Right,
}

/// Rows of cells under headings. Columns are as wide as their widest cell, two blanks apart.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<String>,
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new<const N: usize>(head: [(&str, Align); N]) -> Self {
        Self {
            head: head.iter().map(|(it, _)| (*it).to_owned()).collect(),
            align: head.iter().map(|(_, it)| *it).collect(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    /// Moves the whole table to the right.
    #[must_use]
    pub fn indented(mut self, by: usize) -> Self {
        self.indent = by;
        self
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.cells(cells.into());
    }

    /// Adds a row of fewer cells than headings, or of a number that is not known beforehand.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(|it| it.replace('\n', " ")).collect());
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.chain(self.head.get(column)).map(|it| width(it)).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.head.len()).map(widest).collect();
        let titled = self.head.iter().any(|it| !it.is_empty());
        for row in titled.then_some(&self.head).into_iter().chain(&self.rows) {
            let mut line = " ".repeat(self.indent);
            for (place, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(wide.saturating_sub(width(cell)));
                match self.align.get(place) {
                    Some(Align::Right) => line.extend([gap.as_str(), cell]),
                    _ => line.extend([cell.as_str(), &gap]),
                }
                line.push_str("  ");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new([("Campaign", Align::Left), ("sent", Align::Right)]).indented(2);
        table.row(["welcome".to_owned(), "13,702".to_owned()]);
        table.row(["at-risk-save".to_owned(), "406".to_owned()]);
        assert_eq!(
            table.to_string(),
            "  Campaign        sent\n  welcome       13,702\n  at-risk-save     406\n"
        );
    }
}
