//! Who operates, and whether they mean it.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use headwater::{Log, Operator};

use crate::Failure;

/// Whether the operator means it.
#[derive(clap::Args)]
pub(super) struct Sure {
    /// Do not ask for the name again
    #[arg(long)]
    yes: bool,
}

impl Sure {
    /// Asks for the name, unless `--yes` was given; a program that gives it no terminal must give that.
    pub(super) fn ask(&self, name: &str, consequence: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            let sentence = format!("this needs --yes: {consequence}");
            return Err(Failure::bad_input(sentence));
        }
        let mut terminal = io::stderr();
        write!(terminal, "{consequence}\nType {name} to go on: ")?;
        terminal.flush()?;
        let mut typed = String::new();
        io::stdin().lock().read_line(&mut typed)?;
        if typed.trim() == name {
            return Ok(());
        }
        Err(Failure::bad_input("that is another name: nothing was changed"))
    }
}

/// The operator at this terminal.
pub(super) fn operator(log: &Log) -> Operator {
    Operator::new(log, by())
}

/// Who that is, in words.
pub(super) fn by() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|variable| std::env::var(variable).ok());
    user.unwrap_or_else(|| "the command line".into())
}
