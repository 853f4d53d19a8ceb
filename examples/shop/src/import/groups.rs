//! Lines that belong together, such as those of an invoice, as soon as the last of them is read.
//!
//! The file is read twice. The first reading checks every line and counts the lines of each group;
//! the second one gives a group away when it has as many. So nothing of a broken file is imported,
//! a group may be scattered (in the year of Online Retail one invoice of 25,900 is), and only the
//! groups that are incomplete lie in memory.

use std::{collections::HashMap, path::Path};

use headwater_cli::Failure;

use super::{Dataset, source::Source};

/// The groups of a file, in the order in which they are completed.
pub(super) struct Groups<D: Dataset> {
    source: Source,
    sizes: HashMap<String, usize>,
    open: HashMap<String, Vec<D::Line>>,
}

impl<D: Dataset> Groups<D> {
    /// Checks a file, and begins to read its groups.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let mut sizes = HashMap::<_, usize>::new();
        let mut source = Source::open::<D>(path)?;
        while let Some(line) = source.next::<D>()? {
            *sizes.entry(D::group(&line)).or_default() += 1;
        }
        Ok(Self { source: Source::open::<D>(path)?, sizes, open: HashMap::new() })
    }

    /// How many groups the file has.
    pub(super) fn total(&self) -> usize {
        self.sizes.len()
    }
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
            let lines = self.open.entry(key.clone()).or_default();
            lines.push(line);
            if self.sizes.get(&key) == Some(&lines.len()) {
                return self.open.remove(&key).map(Ok);
            }
        }
    }
}
