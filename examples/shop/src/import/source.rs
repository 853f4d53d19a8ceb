//! The lines of a file, plain or packed with gzip, each with its number.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;
use headwater_cli::{Exit, Failure};

use super::Dataset;

/// The lines of one file, from the first behind its header.
pub(super) struct Source {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: StringRecord,
    /// The number of the last line that was read.
    line: u64,
    /// How many records were read behind the header; a record may stand on several lines.
    row: u64,
}

impl Source {
    /// Opens a file of the data set `D` and checks that its first line names the right columns.
    pub(super) fn open<D: Dataset>(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error| cannot_read(path, &error);
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(unreadable)?);
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
            .flexible(true)
            .from_reader(input);
        let mut source =
            Self { path: path.into(), reader, record: StringRecord::new(), line: 0, row: 0 };
        if !source.advance::<D>()? || source.record != D::COLUMNS.to_vec() {
            let columns = D::COLUMNS.join(", ");
            let reason = format!("a file of {} begins with the columns {columns}", D::NAME);
            return Err(source.bad_line(&reason));
        }
        source.row = 0;
        Ok(source)
    }

    /// The next line, as `D` understands it; or a sentence with the number of the line.
    pub(super) fn next<D: Dataset>(&mut self) -> Result<Option<D::Line>, Failure> {
        if !self.advance::<D>()? {
            return Ok(None);
        }
        let (found, wanted) = (self.record.len(), D::COLUMNS.len());
        if found != wanted {
            return Err(self.bad_line(&format!("it has {found} columns instead of {wanted}")));
        }
        D::read(self.row, &self.record).map(Some).map_err(|reason| self.bad_line(&reason))
    }

    fn advance<D: Dataset>(&mut self) -> Result<bool, Failure> {
        match self.reader.read_record(&mut self.record) {
            Ok(false) => return Ok(false),
            Ok(true) => self.line = self.record.position().map_or(self.line, csv::Position::line),
            Err(error) => return Err(self.broken(error)),
        }
        self.row += 1;
        if D::DELIMITER == b' ' {
            // Columns that are lined up with blanks.
            self.record = self.record.iter().filter(|field| !field.is_empty()).collect();
        }
        Ok(true)
    }

    fn broken(&mut self, error: csv::Error) -> Failure {
        let (path, line) = (self.path.display(), self.line);
        match error.into_kind() {
            csv::ErrorKind::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    bad_file(format!("{path} ends too early, behind line {line}: it was cut off"))
                }
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    bad_file(format!("{path} is damaged behind line {line}: it cannot be unpacked"))
                }
                _ => cannot_read(&self.path, &error),
            },
            csv::ErrorKind::Utf8 { pos, .. } => {
                self.line = pos.map_or(line + 1, |position| position.line());
                self.bad_line("it is not text in UTF-8")
            }
            _ => self.bad_line("it cannot be read as a line of columns"),
        }
    }

    fn bad_line(&self, reason: &str) -> Failure {
        bad_file(format!("{}, line {}: {reason}", self.path.display(), self.line.max(1)))
    }
}

fn bad_file(sentence: String) -> Failure {
    Failure::new(Exit::BadInput, "bad-file", sentence)
        .with_hint("nothing of the file was imported: mend it and run the same command again")
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    bad_file(format!("{} cannot be read ({error})", path.display()))
}
