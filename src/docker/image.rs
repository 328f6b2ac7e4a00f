//! How an image comes to a daemon: pulled by itself, or sent as a file. Neither is ever held in memory.

use std::collections::HashMap;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::{CreateImageInfo, ProgressDetail};
use bollard::query_parameters as query;
use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::image::{Login, split};

/// A pull or a load in which nothing moves for this long has hung.
pub(super) const SILENCE: Duration = Duration::from_secs(180);
/// Docker says nothing of the unpacking of a layer until it is done, and a layer may be most of the image.
const SILENCE_AT_THE_END: Duration = Duration::from_mins(10);
/// What is read of a file at once, and how many of these lie between the file and the connection: 1 MiB a node.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 4;
/// Progress is told in steps of this many bytes.
const TOLD: u64 = 1 << 20;

/// Why an image did not come.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Nothing moved for so long.
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    /// What Docker says, or what became of the connection to it.
    #[error("{0}")]
    Docker(#[from] bollard::errors::Error),
    /// The file cannot be read to its end any more.
    #[error("the image file: {0}")]
    File(String),
}

/// Where progress is told: what is done now, bytes, of how many.
pub trait Told: FnMut(&'static str, u64, u64) + Send {}
impl<F: FnMut(&'static str, u64, u64) + Send> Told for F {}

/// Pulls to the end of the stream: an error inside it is an error.
///
/// # Errors
/// Docker's word for it, or nothing moved for three minutes.
pub async fn pull(
    docker: &bollard::Docker,
    reference: &str,
    login: Option<&Login>,
    mut told: impl Told,
) -> Result<(), ImageError> {
    let (image, tag) = split(reference);
    let options = query::CreateImageOptionsBuilder::default().from_image(image).tag(tag).build();
    let mut stream = docker.create_image(Some(options), None, login.map(credentials));
    let mut progress = Layers::default();
    while let Some(item) = in_time(SILENCE, stream.next()).await? {
        let item: CreateImageInfo = item?;
        let (status, detail) = (item.status.as_deref(), item.progress_detail.as_ref());
        if let Some((message, done, total)) = progress.pulled(item.id.as_deref(), status, detail) {
            told(message, done, total);
        }
    }
    Ok(())
}

/// The one header that carries a password; nothing else of it reaches the node.
pub(super) fn credentials(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().to_owned()),
        serveraddress: Some(login.server.clone()),
        ..DockerCredentials::default()
    }
}

/// Sends the image file at `path`, which has `bytes`, and waits until Docker has taken it in.
///
/// # Errors
/// The file cannot be read or is no image to Docker, or nothing moved for three minutes (ten while Docker unpacks).
pub async fn load(
    docker: &bollard::Docker,
    path: &Path,
    bytes: u64,
    mut told: impl Told,
) -> Result<(), ImageError> {
    let file = File::open(path).map_err(|e| ImageError::File(e.to_string()))?;
    let broken = Arc::new(OnceLock::new());
    let (sent, mut sending) = watch::channel(0);
    let body = body(read(file), bytes, sent, Arc::clone(&broken));
    let options = query::ImportImageOptionsBuilder::default().quiet(false).build();
    let mut stream = std::pin::pin!(docker.import_image_stream(options, body, None));
    let mut progress = Layers::default();
    let mut is_sending = true;
    loop {
        let silence = if is_sending { SILENCE } else { SILENCE_AT_THE_END };
        let next = async {
            tokio::select! {
                item = stream.next() => Next::Item(item),
                more = sending.changed(), if is_sending => Next::Sent(more.is_ok()),
            }
        };
        match in_time(silence, next).await? {
            Next::Sent(more) => {
                is_sending = more;
                told(if more { "sending" } else { "unpacking" }, *sending.borrow(), bytes);
            }
            Next::Item(None) => return Ok(()),
            Next::Item(Some(Ok(item))) => {
                if let Some((done, total)) =
                    progress.loaded(item.id.as_deref(), item.progress_detail.as_ref())
                {
                    told("unpacking", done, total);
                }
            }
            Next::Item(Some(Err(error))) => {
                let file = broken.get().cloned().map(ImageError::File);
                return Err(file.unwrap_or(ImageError::Docker(error)));
            }
        }
    }
}

/// What comes next while a file is sent.
enum Next<T> {
    Item(Option<T>),
    /// Whether there is more to send.
    Sent(bool),
}

pub(super) async fn in_time<T>(
    silence: Duration,
    next: impl Future<Output = T>,
) -> Result<T, ImageError> {
    timeout(silence, next).await.map_err(|_| ImageError::Silent(silence))
}

/// Reads a file in a thread of its own, no further ahead than `CHUNKS`. Ends when nobody takes the chunks any more.
pub(crate) fn read(mut file: File) -> mpsc::Receiver<io::Result<Bytes>> {
    let (chunks, taken) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk);
            let last = !matches!(read, Ok(1..));
            if !(matches!(read, Ok(0))
                || chunks.blocking_send(read.map(|_| Bytes::from(chunk))).is_ok())
                || last
            {
                return;
            }
        }
    });
    taken
}

/// The body of the request: as many bytes as the file had when it was looked into, or an error, which breaks the
/// request off so that Docker does not take a part for the whole.
fn body(
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    bytes: u64,
    sent: watch::Sender<u64>,
    broken: Arc<OnceLock<String>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let start = Some((chunks, 0_u64, sent));
    futures_util::stream::unfold(start, move |state| {
        let broken = Arc::clone(&broken);
        async move {
            let (mut chunks, mut done, sent) = state?;
            let failed = |why: String| {
                let error = io::Error::other(why.clone());
                drop(broken.set(why)); // it is set but once
                Some((Err(error), None))
            };
            match chunks.recv().await {
                Some(Ok(chunk)) => {
                    done += chunk.len() as u64;
                    sent.send_if_modified(|told| {
                        let more = done >= *told + TOLD || done >= bytes;
                        if more {
                            *told = done;
                        }
                        more
                    });
                    Some((Ok(chunk), Some((chunks, done, sent))))
                }
                Some(Err(error)) => failed(error.to_string()),
                None if done == bytes => None,
                None => failed(format!("it had {bytes} bytes and has {done} now")),
            }
        }
    })
}

/// Bytes of each layer: downloaded first, then unpacked.
#[derive(Default)]
pub(super) struct Layers {
    layers: HashMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    size: u64,
    downloaded: u64,
    unpacked: u64,
}

fn figures(detail: Option<&ProgressDetail>) -> (u64, u64) {
    let figure = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    detail.map_or((0, 0), |d| (figure(d.current), figure(d.total)))
}

impl Layers {
    fn sum(&self, part: fn(&Layer) -> u64) -> u64 {
        self.layers.values().map(part).sum()
    }

    /// Takes in an item of a pull; gives what to show, if it changes that.
    pub(super) fn pulled(
        &mut self,
        id: Option<&str>,
        status: Option<&str>,
        detail: Option<&ProgressDetail>,
    ) -> Option<(&'static str, u64, u64)> {
        let layer = self.layers.entry(id?.to_owned()).or_default();
        let (current, total) = figures(detail);
        match status? {
            "Downloading" => (layer.size, layer.downloaded) = (total, current),
            "Verifying Checksum" | "Download complete" => layer.downloaded = layer.size,
            // some engines count other things than bytes here, and then name no total
            "Extracting" if total > 0 => {
                (layer.size, layer.downloaded, layer.unpacked) = (total, total, current);
            }
            "Pull complete" => (layer.downloaded, layer.unpacked) = (layer.size, layer.size),
            _ => return None,
        }
        let (size, downloaded) = (self.sum(|l| l.size), self.sum(|l| l.downloaded));
        match size {
            0 => None,
            _ if downloaded < size => Some(("downloading", downloaded, size)),
            _ => Some(("unpacking", self.sum(|l| l.unpacked), size)),
        }
    }

    /// The same of a load, which tells of one layer after another.
    fn loaded(&mut self, id: Option<&str>, detail: Option<&ProgressDetail>) -> Option<(u64, u64)> {
        let (current, total) = figures(detail);
        if total == 0 {
            return None;
        }
        let layer = Layer { size: total, downloaded: total, unpacked: current };
        self.layers.insert(id?.to_owned(), layer);
        Some((self.sum(|l| l.unpacked), self.sum(|l| l.size)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_pull_is_downloaded_and_then_unpacked() {
        let mut pull = Layers::default();
        let mut note = |id: &str, status: &str, current: i64, total: i64| {
            let detail = ProgressDetail { current: Some(current), total: Some(total) };
            pull.pulled(Some(id), Some(status), Some(&detail))
        };
        assert_eq!(note("v18", "Pulling from ceph/ceph", 0, 0), None);
        assert_eq!(note("a", "Downloading", 10, 100), Some(("downloading", 10, 100)));
        assert_eq!(note("b", "Downloading", 50, 50), Some(("downloading", 60, 150)));
        assert_eq!(note("a", "Download complete", 0, 0), Some(("unpacking", 0, 150)));
        assert_eq!(note("a", "Extracting", 40, 100), Some(("unpacking", 40, 150)));
        assert_eq!(note("b", "Extracting", 7, 0), None);
        assert_eq!(note("b", "Pull complete", 0, 0), Some(("unpacking", 90, 150)));
    }

    /// What a load sends of a file, what it tells meanwhile, and whether the request is broken off.
    async fn sends(content: &[u8], expected: u64) -> (Vec<u8>, u64, Option<String>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let broken = Arc::new(OnceLock::new());
        let (sent, told) = watch::channel(0);
        let chunks = read(File::open(file.path()).unwrap());
        let stream = body(chunks, expected, sent, Arc::clone(&broken));
        let items: Vec<_> = stream.collect().await;
        let all = items.into_iter().filter_map(Result::ok).flatten().collect();
        let told = *told.borrow();
        (all, told, broken.get().cloned())
    }

    #[tokio::test]
    async fn a_file_is_sent_whole_and_in_its_order() {
        for size in [0, 1, CHUNK, 5 * CHUNK + 17] {
            let content: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let (all, told, broken) = sends(&content, size as u64).await;
            assert!(all == content, "{size} bytes");
            assert_eq!((told, broken), (size as u64, None));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_what_it_was_breaks_the_request_off() {
        let (_, _, broken) = sends(&[7; 10], 12).await;
        assert_eq!(broken.as_deref(), Some("it had 12 bytes and has 10 now"));
        let (_, _, broken) = sends(&[7; 12], 10).await;
        assert!(broken.is_some());
    }

    /// The reader stops when it is far enough ahead: a slow node costs no memory.
    #[tokio::test]
    async fn nobody_reads_ahead_of_a_slow_node() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![7; CHUNK * CHUNKS * 4]).unwrap();
        let mut chunks = read(File::open(file.path()).unwrap());
        let first = chunks.recv().await.unwrap().unwrap();
        assert_eq!(first.len(), CHUNK);
        assert!(chunks.len() <= CHUNKS);
        assert_eq!(chunks.max_capacity(), CHUNKS);
    }
}
