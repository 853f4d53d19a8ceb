//! Ctrl-C: asked once, a command ends cleanly; asked twice or stuck, the process ends.

use std::{io, time::Duration};

use tokio::sync::watch;

use crate::Exit;

/// How long a command may take to end cleanly.
const GRACE: Duration = Duration::from_millis(1500);

/// Tells a command that Ctrl-C was pressed, or that the process was asked to terminate.
pub struct Interrupt {
    asked: watch::Receiver<bool>,
}

impl Interrupt {
    /// Begins to listen. A command that does not end by itself within 1.5 s of the signal, such as
    /// one that writes into a pipe which nobody reads, is ended with the code `stuck`.
    ///
    /// # Errors
    ///
    /// That of the operating system where a signal cannot be listened to.
    pub fn listen(stuck: Exit) -> io::Result<Self> {
        Self::listen_for(stuck, GRACE)
    }

    /// The same, for a command that has more to tidy up.
    pub(crate) fn listen_for(stuck: Exit, grace: Duration) -> io::Result<Self> {
        let mut signals = Signals::new()?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            ask.send_replace(true);
            let _ = tokio::time::timeout(grace, signals.next()).await;
            std::process::exit(i32::from(stuck as u8));
        });
        Ok(Self { asked })
    }

    /// Waits for the signal; at once where it has come before.
    pub async fn requested(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            // The listener ends only with the process.
            std::future::pending().await
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
