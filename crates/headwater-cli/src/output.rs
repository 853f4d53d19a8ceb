//! Standard output: tables and sentences for people, one JSON object a line for programs.

use std::{
    fmt::Display,
    io::{self, BufWriter, Write as _},
};

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::{Failure, Options};

/// Writes a command's answer to standard output.
///
/// Every method fails where the reader of a pipe has gone; that [`Failure`] has exit code 0 and is
/// not reported, so that `| head` ends a command quietly.
pub struct Output {
    json: bool,
    width: Option<usize>,
    // Standard output alone is flushed at every line: too slow for a whole log.
    out: BufWriter<io::Stdout>,
}

impl Output {
    /// Standard output in the form that `options` ask for.
    pub fn new(options: &Options) -> Self {
        let size = console::Term::stdout().size_checked();
        let width = size.map(|(_, columns)| usize::from(columns));
        Self { json: options.json(), width, out: BufWriter::with_capacity(64 << 10, io::stdout()) }
    }

    /// Whether programs read it, so that [`Output::object`] is to be used.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// The width of the terminal; `None` where it is none.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Writes a line of text.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Writes an object as one line of JSON.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, object).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Writes a table, as wide as the terminal at most. For rows without end it is not made.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn table<R>(
        &mut self,
        header: &[&str],
        rows: impl IntoIterator<Item = R>,
    ) -> Result<(), Failure>
    where
        R: IntoIterator<Item = String>,
    {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(header);
        if let Some(width) = self.width {
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        for row in rows {
            table.add_row(row.into_iter().collect::<Vec<_>>());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text = table.trim_fmt();
        self.line(text)
    }

    /// Hands everything that was written to its reader.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// Ends when the reader of standard output has gone, also while there is nothing to write.
#[cfg(unix)]
pub(crate) async fn reader_gone() {
    use std::os::fd::AsFd as _;
    use tokio::{io::Interest, net::unix::pipe::Sender};
    // Unchecked, since the checked way makes standard output non-blocking, for others that share it
    // too. It is only watched, never written to.
    let stdout =
        io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    // A file cannot be watched, and has no reader that could go.
    if let Ok(stdout) = stdout {
        while let Ok(ready) = stdout.ready(Interest::ERROR).await {
            if ready.is_error() {
                return;
            }
        }
    }
    std::future::pending().await
}

/// Nothing to watch: the next write tells.
#[cfg(not(unix))]
pub(crate) async fn reader_gone() {
    std::future::pending().await
}
