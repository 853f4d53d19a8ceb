//! The lines of a file, plain or packed with gzip, each with its number.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;
use headwater_cli::{Exit, Failure};

use super::Dataset;

/// The lines of one file, from the first behind its header.
pub struct Source {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: StringRecord,
    columns: usize,
    /// The number of the last line that was read.
    line: u64,
    /// How many lines of data were read; line breaks in quotes make it fall behind `line`.
    row: u64,
}

/// How much of a file was read, in bytes as they lie on the disk.
#[derive(Clone, Default)]
pub struct ReadBytes(Arc<AtomicU64>);

impl ReadBytes {
    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Source {
    /// Opens a file of the data set `D` and checks that its first line names the right columns.
    ///
    /// # Errors
    ///
    /// A sentence for the user, where it cannot be read or holds something else.
    pub fn open<D: Dataset>(path: &Path, read: &ReadBytes) -> Result<Self, Failure> {
        let unreadable = |error| cannot_read(path, &error);
        let counted = Counted { file: File::open(path).map_err(unreadable)?, read: read.clone() };
        let mut file = BufReader::with_capacity(1 << 16, counted);
        // By its first bytes, not by its name: downloads lose their endings.
        let packed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn Read + Send> =
            if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let reader = csv::ReaderBuilder::new()
            .delimiter(D::DELIMITER)
            // Each line feed ends a line, so that their numbers are right where each stands behind a
            // carriage return, which is trimmed.
            .terminator(csv::Terminator::Any(b'\n'))
            .trim(csv::Trim::All)
            .has_headers(false)
            // The count of columns is checked here, where empty ones between blanks are known.
            .flexible(true)
            .buffer_capacity(1 << 16)
            .from_reader(input);
        let (path, columns) = (path.into(), D::COLUMNS.len());
        let mut source =
            Self { path, reader, record: StringRecord::new(), columns, line: 0, row: 0 };
        source.check_header::<D>()?;
        Ok(source)
    }

    fn check_header<D: Dataset>(&mut self) -> Result<(), Failure> {
        let found = self.advance(D::DELIMITER)? && self.record == D::COLUMNS.to_vec();
        self.row = 0;
        if found {
            return Ok(());
        }
        let columns = D::COLUMNS.join(", ");
        Err(self.bad_line(&format!("a file of {} begins with the columns {columns}", D::NAME)))
    }

    /// The next line, with its row number counted from 1, as `D` understands it.
    ///
    /// # Errors
    ///
    /// A sentence with the number of the line, where it cannot be read or understood.
    pub fn next<D: Dataset>(&mut self) -> Result<Option<D::Line>, Failure> {
        if !self.advance(D::DELIMITER)? {
            return Ok(None);
        }
        if self.record.len() != self.columns {
            let (found, wanted) = (self.record.len(), self.columns);
            return Err(self.bad_line(&format!("it has {found} columns instead of {wanted}")));
        }
        D::read(self.row, &self.record).map(Some).map_err(|reason| self.bad_line(&reason))
    }

    fn advance(&mut self, delimiter: u8) -> Result<bool, Failure> {
        match self.reader.read_record(&mut self.record) {
            Ok(false) => return Ok(false),
            Ok(true) => self.line = self.record.position().map_or(self.line, csv::Position::line),
            Err(error) => return Err(self.broken(error)),
        }
        self.row += 1;
        if delimiter == b' ' {
            // Columns that are lined up with blanks.
            self.record = self.record.iter().filter(|field| !field.is_empty()).collect();
        }
        Ok(true)
    }

    fn broken(&mut self, error: csv::Error) -> Failure {
        let behind = self.line;
        match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.bad_file(&format!("ends too early, behind line {behind}: it was cut off"))
            }
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.bad_file(&format!("is damaged behind line {behind}: it cannot be unpacked"))
            }
            csv::ErrorKind::Io(error) => cannot_read(&self.path, &error),
            csv::ErrorKind::Utf8 { pos, .. } => {
                self.line = pos.map_or(behind + 1, |position| position.line());
                self.bad_line("it is not text in UTF-8")
            }
            _ => self.bad_line("it cannot be read as a line of columns"),
        }
    }

    fn bad_line(&self, reason: &str) -> Failure {
        let (path, line) = (self.path.display(), self.line.max(1));
        bad_input(format!("{path}, line {line}: {reason}"))
    }

    fn bad_file(&self, what: &str) -> Failure {
        bad_input(format!("{} {what}", self.path.display()))
    }
}

fn bad_input(sentence: String) -> Failure {
    Failure::new(Exit::BadInput, "bad-file", sentence)
        .with_hint("nothing of the file was imported: mend it and run the same command again")
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    bad_input(format!("{} cannot be read ({error})", path.display()))
}

/// Counts what is read from the disk, for the progress.
struct Counted {
    file: File,
    read: ReadBytes,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.0.fetch_add(read.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(read)
    }
}
