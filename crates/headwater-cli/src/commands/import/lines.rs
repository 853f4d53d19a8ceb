//! The lines of an import, read in a thread of their own and cut into batches.

use std::io::{self, BufRead, Read as _};

use tokio::sync::mpsc;

use super::batch::Batch;
use crate::{Exit, Failure, checksum::Checksum, line};

/// More than a line can have: 64 MiB of data, each byte of which may stand as an escape of six.
const LONGEST: u64 = 512 << 20;

/// Reads every line, and hands them on in batches; yields the checksum of all. Where a line is bad, those
/// before it are handed on first.
pub(super) fn read(
    mut input: impl BufRead,
    batches: &mpsc::Sender<Batch>,
) -> Result<Checksum, Failure> {
    let (mut checksum, mut text, mut batch) = (Checksum::new(), Vec::new(), Batch::new());
    let (mut number, mut read) = (0, 0);
    let outcome = loop {
        text.clear();
        match input.by_ref().take(LONGEST).read_until(b'\n', &mut text) {
            Ok(0) => break Ok(checksum),
            Ok(count) => read += count as u64,
            Err(error) => break Err(of_input(&error)),
        }
        number += 1;
        if text.trim_ascii().is_empty() {
            continue;
        }
        if let Err(why) = take(&text, number, &mut batch, &mut checksum) {
            break Err(Failure::new(Exit::BadInput, "bad-line", format!("line {number} {why}")));
        }
        if batch.is_full() {
            let full = std::mem::replace(&mut batch, Batch::new());
            if batches.blocking_send(full.at(read)).is_err() {
                // Whoever takes them has failed, and says why.
                return Ok(checksum);
            }
        }
    };
    if !batch.is_empty() {
        let _failed_and_says_why = batches.blocking_send(batch.at(read));
    }
    outcome
}

fn take(
    text: &[u8],
    number: u64,
    batch: &mut Batch,
    checksum: &mut Checksum,
) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8")?;
    let event = line::read(text.trim_end_matches(['\n', '\r']))?;
    checksum.add(&event);
    batch.add(number, event)
}

fn of_input(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "io", format!("the input cannot be read: {error}"))
}
