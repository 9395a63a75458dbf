//! Tables of text: columns as wide as their widest cell, two spaces between them.

/// Lays rows out under their titles. The last column is not padded.
#[must_use]
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| console::measure_text_width(cell));
        cells.chain([titles[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&console::pad_str(cell, *width, console::Alignment::Left, None));
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["shop-users-1".to_owned(), "running".to_owned()], vec!["db".to_owned(), String::new()]];
        assert_eq!(table(&["NAME", "STATE"], &rows), "NAME          STATE\nshop-users-1  running\ndb\n");
    }
}
