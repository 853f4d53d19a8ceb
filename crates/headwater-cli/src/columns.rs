//! Aligned lines for a list without end: printed as they come, never collected.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::{Failure, Output};

/// Columns that grow with what they have seen. The last one takes the rest of the line, and is cut
/// at the terminal's edge.
pub(crate) struct Columns<const N: usize> {
    header: [&'static str; N],
    widths: [usize; N],
    begun: bool,
}

impl<const N: usize> Columns<N> {
    /// Columns that are at least as wide as `widths`, so that early rows line up with later ones.
    pub(crate) fn new(header: [&'static str; N], widths: [usize; N]) -> Self {
        Self { header, widths, begun: false }
    }

    /// Writes some rows; those written together line up.
    pub(crate) fn write(&mut self, out: &mut Output, rows: &[[String; N]]) -> Result<(), Failure> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if !self.begun {
            self.begun = true;
            out.line(self.align(&self.header, out.width()))?;
        }
        for row in rows {
            out.line(self.align(row, out.width()))?;
        }
        Ok(())
    }

    fn align(&self, cells: &[impl AsRef<str>; N], edge: Option<usize>) -> String {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            line.push_str(cell.as_ref());
            if index + 1 < N {
                let padding = (self.widths[index] + 2).saturating_sub(cell.as_ref().width());
                line.extend(std::iter::repeat_n(' ', padding));
            }
        }
        match edge {
            Some(edge) => cut(&line, edge),
            None => line,
        }
    }
}

fn cut(line: &str, edge: usize) -> String {
    if line.width() <= edge {
        return line.into();
    }
    let mut room = edge.saturating_sub(1);
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    let mut short: String = line.chars().take_while(fits).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_edge_by_what_it_takes_on_the_screen() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("日本語日本語", 6), "日本…");
        assert_eq!(cut("abc", 0), "…");
    }

    #[test]
    fn cells_line_up() {
        let columns = Columns::new(["a", "b"], [4, 0]);
        assert_eq!(columns.align(&["xy", "z"], None), "xy    z");
        assert_eq!(columns.align(&["日", "z"], None), "日    z");
    }
}
