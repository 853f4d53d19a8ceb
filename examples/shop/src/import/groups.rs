//! Lines that belong together, such as those of an invoice, as soon as the last of them is read.
//!
//! The file is read twice. The first reading checks every line and counts the lines of each group;
//! the second one gives a group away when it has as many. So nothing of a broken file is imported,
//! a group may be scattered (in the year of Online Retail one invoice of 25,900 is), and only the
//! groups that are incomplete lie in memory.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use headwater_cli::Failure;

use super::{
    Dataset,
    source::{ReadBytes, Source},
};

/// A file that was read once and found in order.
pub struct Checked {
    path: PathBuf,
    sizes: HashMap<String, usize>,
    lines: u64,
}

impl Checked {
    /// Reads a file once.
    ///
    /// # Errors
    ///
    /// A sentence that names the first line that is wrong.
    pub fn read<D: Dataset>(path: &Path) -> Result<Self, Failure> {
        let mut source = Source::open::<D>(path, &ReadBytes::default())?;
        let mut checked = Self { path: path.into(), sizes: HashMap::new(), lines: 0 };
        while let Some(line) = source.next::<D>()? {
            *checked.sizes.entry(D::group(&line)).or_default() += 1;
            checked.lines += 1;
        }
        Ok(checked)
    }

    /// How many lines of data the file has.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Reads the file again, group by group.
    ///
    /// # Errors
    ///
    /// A sentence, where the file cannot be opened again.
    pub fn groups<D: Dataset>(self, read: &ReadBytes) -> Result<Groups<D>, Failure> {
        let source = Source::open::<D>(&self.path, read)?;
        Ok(Groups { source, sizes: self.sizes, open: HashMap::new() })
    }
}

/// The groups of a file, in the order in which they are completed.
pub struct Groups<D: Dataset> {
    source: Source,
    sizes: HashMap<String, usize>,
    open: HashMap<String, Vec<D::Line>>,
}

impl<D: Dataset> Iterator for Groups<D> {
    type Item = Result<Vec<D::Line>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.source.next::<D>() {
                Ok(line) => line?,
                Err(failure) => return Some(Err(failure)),
            };
            let key = D::group(&line);
            let size = self.sizes.get(&key).copied();
            let lines = self.open.entry(key.clone()).or_default();
            lines.push(line);
            if Some(lines.len()) == size {
                return self.open.remove(&key).map(Ok);
            }
        }
    }
}
