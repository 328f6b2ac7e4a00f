//! HTTP on the unix socket where Docker finds the driver.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Trouble;
use super::driver::Driver;
use super::kernel::Kernel;
use super::protocol::{self, Call};
use super::rbd::Rbd;
use super::state::Daemon;

/// Docker's requests are a few hundred bytes.
const LARGEST: usize = 1 << 20;
/// Longer than any call takes: see [`super::driver`].
const LAST_CALLS: Duration = Duration::from_secs(120);

/// Makes the socket anew. What is left of another one is removed; only root may connect.
///
/// # Errors
/// The folder, the socket or its mode cannot be made.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Tells systemd that the driver can be used: `sd_notify(3)`.
///
/// # Errors
/// `NOTIFY_SOCKET` is set and nobody listens there. Without it nothing is told, and that is no error.
pub fn ready() -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address).map(drop)
}

/// Serves until `stop` turns true; then the calls that are under way are finished.
pub async fn serve<R: Rbd, K: Kernel>(
    driver: Arc<Driver<R, K>>,
    listener: UnixListener,
    stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&driver), stream, stop.clone()));
                }
                // too many open files, perhaps; it will be better later
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
            () = told(&mut stopping) => break,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    drop(timeout(LAST_CALLS, all).await);
}

async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn connection<R: Rbd, K: Kernel>(
    driver: Arc<Driver<R, K>>,
    stream: UnixStream,
    mut stop: watch::Receiver<bool>,
) {
    let pid = stream.peer_cred().ok().and_then(|c| c.pid());
    let by = pid.and_then(|pid| driver.dockerd(pid));
    let service = service_fn(|request| respond(&driver, by.clone(), request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return, // a connection that breaks is Docker's to mend
        () = told(&mut stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    drop(serving.await);
}

async fn respond<R: Rbd, K: Kernel>(
    driver: &Arc<Driver<R, K>>,
    by: Option<Daemon>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), LARGEST).collect().await;
    let answer = match body {
        Err(error) => Err(Trouble::new(
            format!("the request cannot be read: {error}"),
            "do the same once more",
        )),
        Ok(body) => match Call::parse(&path, &body.to_bytes()) {
            None => return Ok(reply(StatusCode::NOT_FOUND, format!("no such call: {path}"))),
            Some(Err(trouble)) => Err(trouble),
            Some(Ok(call)) => driver.answer(call, by).await,
        },
    };
    Ok(reply(StatusCode::OK, protocol::response(&answer)))
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(protocol::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
