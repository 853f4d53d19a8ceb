//! A small shell that outlives the test process for a moment, to end what it had started.
//!
//! A destructor is no help: a test process ends by `exit`, by a panic or by SIGKILL, and leaves what
//! it keeps in a static behind. The guardian waits for the end of its standard input, which comes in
//! each of these cases.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A running guardian; dropping it is the end of its standard input.
pub(super) struct Guardian {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guardian {
    /// Starts `command`, whose standard input lasts as long as this process.
    pub(super) fn start(mut command: Command) -> Result<Self, String> {
        // A process group of its own: Ctrl-C in a terminal must not end it before its work is done.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the shell could not be started: {error}"))?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().ok_or("the shell has no output")?;
        Ok(Self { child, commands, answers: BufReader::new(answers) })
    }

    /// The next line that the guardian says; nothing where it has ended.
    pub(super) fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim().to_owned())
    }

    /// Gives a command and waits for the answer.
    pub(super) fn ask(&mut self, command: &str) -> Result<String, String> {
        let commands = self.commands.as_mut().ok_or("the guardian has ended")?;
        writeln!(commands, "{command}").map_err(|error| error.to_string())?;
        self.answer()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}
