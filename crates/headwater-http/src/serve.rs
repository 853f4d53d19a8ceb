//! A server with bounds: of connections, of the time that a request takes, and of clients that do not read.

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinSet, yield_now},
    time::{Sleep, sleep, timeout},
};

use crate::{
    problem::{self, Problem, REQUEST_TIMEOUT},
    request::RequestId,
};

/// What a server lets its clients do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Bounds {
    /// How many connections are open at once. For one that comes then, the oldest is closed that waits for a request;
    /// where all are at work it waits. 4,096 by default, and never more than three quarters of the files that the
    /// process may open, so that the database has some.
    pub connections: usize,
    /// How long a client may take to send the head of its next request; 30 s by default.
    pub head: Duration,
    /// How long it may take until an answer begins, with the time in which the body comes; 60 s by default.
    pub answer: Duration,
    /// How long a client may take nothing of what it is sent; 30 s by default.
    pub stall: Duration,
    /// How long requests under way may take when the server ends; 2 s by default. Feeds end then.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            connections: 4_096,
            head: 30 * second,
            answer: 60 * second,
            stall: 30 * second,
            grace: 2 * second,
        }
    }
}

/// The largest head of a request, in bytes and in headers. The first is looked at after each reading from the network, so
/// that a larger one may pass that came at once.
const HEAD: (usize, usize) = (64 << 10, 100);

/// How long a server that can open no more files waits before it takes the next connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long a connection may take to give its place up before the next one is asked.
const LEAVING: Duration = Duration::from_millis(20);

/// Serves `routes` on `listener` until `stop` is ready.
///
/// The process may then open as many files as its hard limit allows (`ulimit -Hn`), since each connection is one.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) {
    let connections = bounds.connections.min(files() / 4 * 3).max(1);
    let mut places = Places::new(connections);
    let routes = routes.layer(middleware::from_fn_with_state(bounds.answer, within_time));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD.0)
        .max_headers(HEAD.1);
    let (ends, ended) = watch::channel(());
    let (mut served, mut stop) = (JoinSet::new(), pin!(stop));
    loop {
        let next = async {
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((stream, places.take().await))
        };
        let next = tokio::select! {
            next = next => next,
            () = stop.as_mut() => break,
        };
        // A client that has gone already, or no file to be had.
        let Ok((stream, (place, leave))) = next else {
            sleep(EXHAUSTED).await;
            continue;
        };
        // Events are small, and are to be there at once.
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(Impatient::new(stream, bounds.stall));
        let (http, routes, ended) = (http.clone(), routes.clone(), ended.clone());
        served.spawn(async move {
            // A client that breaks off is no fault of the server's.
            connection(&http, io, routes, &leave, ended).await;
            drop(place);
        });
        while served.try_join_next().is_some() {}
    }
    drop((listener, ends));
    // Feeds have no end: they are cut, and go on where they are when the client comes back.
    let _ = timeout(bounds.grace, async { while served.join_next().await.is_some() {} }).await;
}

/// Serves one connection, until it is asked to leave or the server ends: then it answers what it has begun with.
async fn connection(
    http: &http1::Builder,
    io: TokioIo<Impatient>,
    routes: Router,
    seat: &Seat,
    mut ended: watch::Receiver<()>,
) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        seat.begun.store(true, Ordering::Relaxed);
        routes.call(request)
    });
    let mut connection = pin!(http.serve_connection(io, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = seat.leave.notified() => {}
        _ = ended.changed() => {}
    }
    if seat.begun.load(Ordering::Relaxed) {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// The places for connections, and those who have one, the oldest first.
struct Places {
    free: Arc<Semaphore>,
    taken: VecDeque<Weak<Seat>>,
    all: usize,
}

/// What is known of a connection, for as long as it is there.
#[derive(Default)]
struct Seat {
    /// Asks it to leave.
    leave: Notify,
    /// Whether it has sent a request.
    begun: AtomicBool,
}

impl Places {
    fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), taken: VecDeque::new(), all }
    }

    /// A place, for which the oldest connections are asked to leave where there is none; and what asks this one.
    async fn take(&mut self) -> (OwnedSemaphorePermit, Arc<Seat>) {
        if self.taken.len() >= 2 * self.all {
            self.taken.retain(|seat| seat.strong_count() > 0);
        }
        let place = loop {
            let free = self.free.clone();
            if let Ok(place) = free.clone().try_acquire_owned() {
                break place;
            }
            let oldest = self.taken.pop_front().and_then(|seat| seat.upgrade());
            oldest.iter().for_each(|seat| seat.leave.notify_one());
            // One that is at work, such as a feed, takes its time, and the next one is asked at once.
            let at_work = oldest.is_none_or(|seat| seat.begun.load(Ordering::Relaxed));
            if at_work && !self.taken.is_empty() {
                yield_now().await;
            } else if let Ok(Ok(place)) = timeout(LEAVING, free.acquire_owned()).await {
                break place;
            }
        };
        let seat = Arc::<Seat>::default();
        self.taken.push_back(Arc::downgrade(&seat));
        (place, seat)
    }
}

/// How many files the process may open; as many as its hard limit says from now on.
#[cfg(unix)]
fn files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(_) => limits.current,
    };
    current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn files() -> usize {
    usize::MAX
}

/// Ends a request whose answer does not begin in time: its body comes too slowly, or the database does.
async fn within_time(State(patience): State<Duration>, request: Request, next: Next) -> Response {
    let (id, path) = (RequestId::of(request.headers()).id, request.uri().path().to_owned());
    match timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("it took longer than {} s", patience.as_secs_f64());
            let response = Problem::new(REQUEST_TIMEOUT, detail).into_response();
            problem::render(response, "", &path, id)
        }
    }
}

/// A connection that breaks where its peer takes nothing for too long.
struct Impatient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, stalled: None }
    }

    /// Breaks what has waited for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
