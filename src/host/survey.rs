//! What `check` looks at beyond the probe: a survey of the node, its Docker and the image's registry; and its clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::node::Node;
use super::{Fleet, HostError, quote};
use crate::facts::Seen;
use crate::facts::survey::{Clock, Engine, Registered, Survey, parse};
use crate::image::Login;
use crate::inventory::{Inventory, NodeName};
use crate::ssh::ExecIo;

const SURVEY: &str = include_str!("survey.sh");
const DEADLINE: Duration = Duration::from_secs(30);
/// A registry that is far away, and one that does not answer at all.
const REGISTRY: Duration = Duration::from_secs(20);
/// Where Docker keeps things unless it is told otherwise.
const DOCKER_ROOT: &str = "/var/lib/docker";
/// Of so many answers the quickest counts: it was held up least.
const SAMPLES: usize = 8;
/// Tells the time for each line that comes.
const TELL_TIME: &str = "exec sh -c 'while read -r _; do date +%s.%N; done'";

impl Fleet<Node> {
    /// Surveys every node that was reached, at once.
    pub async fn survey(&self, want: &Inventory) -> BTreeMap<NodeName, Seen<Survey>> {
        self.each(|node| async move { node.survey(want).await }).await
    }

    /// Reads every node's clock, at once. Better when they have nothing else to do.
    pub async fn clocks(&self) -> BTreeMap<NodeName, Seen<Clock>> {
        self.each(|node| async move {
            let late = |_| HostError::new("it does not tell the time in time");
            timeout(DEADLINE, node.clock()).await.map_err(late)?
        })
        .await
    }

    async fn each<'s, T, F>(&'s self, ask: impl Fn(&'s Node) -> F) -> BTreeMap<NodeName, Seen<T>>
    where
        F: Future<Output = Result<T, HostError>>,
    {
        let reached =
            self.hosts.iter().filter_map(|(name, host)| Some((name, host.as_ref().ok()?)));
        let asks = reached.map(|(name, host)| {
            let asked = ask(host);
            async move {
                (
                    name.clone(),
                    asked.await.map_or_else(|e| Seen::Unknown(e.sentence()), Seen::Value),
                )
            }
        });
        futures_util::future::join_all(asks).await.into_iter().collect()
    }
}

impl Node {
    async fn survey(&self, want: &Inventory) -> Result<Survey, HostError> {
        let local = async {
            let engine = self.engine().await;
            let root = engine.as_ref().map_or(DOCKER_ROOT, |e| e.root.as_str());
            let root = quote(root)?;
            let script = format!("DOCKER_ROOT={root}\n{SURVEY}");
            let output = self.shell("sh -s", script.as_bytes(), DEADLINE).await?;
            let survey = parse(&String::from_utf8_lossy(&output))
                .map_err(|e| HostError::new(format!("surveying the node: {e}")))?;
            Ok::<_, HostError>(Survey { engine, ..survey })
        };
        let login = want.cluster.login(&want.cluster.image);
        let registry = async {
            // with an archive nothing is ever pulled
            if want.cluster.image_archive.is_some() { None } else { self.registered(login).await }
        };
        let (survey, registry, held) = tokio::join!(local, registry, self.held());
        Ok(Survey { registry, held, ..survey? })
    }

    async fn engine(&self) -> Option<Engine> {
        let docker = self.docker().ok()?;
        let info = timeout(DEADLINE, docker.info()).await.ok()?.ok()?;
        Some(Engine {
            root: info.docker_root_dir.filter(|d| !d.is_empty())?,
            security: info.security_options.unwrap_or_default(),
        })
    }

    /// What the image is for that the node has.
    async fn held(&self) -> Option<String> {
        let docker = self.docker().ok()?;
        let image = timeout(DEADLINE, docker.inspect_image(&self.image)).await.ok()?.ok()?;
        image.architecture.filter(|a| !a.is_empty())
    }

    /// Has Docker ask the registry for the image, without pulling anything. `None`: Docker itself cannot be asked.
    async fn registered(&self, login: Option<&Login>) -> Option<Seen<Registered>> {
        let docker = self.docker().ok()?;
        let login = login.map(|login| DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.expose().to_owned()),
            serveraddress: Some(login.server.clone()),
            ..DockerCredentials::default()
        });
        let asked = timeout(REGISTRY, docker.inspect_registry_image(&self.image, login)).await;
        Some(match asked {
            Ok(Ok(found)) => {
                let platforms = found.platforms.into_iter();
                let architectures =
                    platforms.filter_map(|p| p.architecture).filter(|a| !a.is_empty()).collect();
                Seen::Value(Registered { architectures })
            }
            Ok(Err(Error::DockerResponseServerError { message, .. })) => {
                Seen::Unknown(message.trim().to_owned())
            }
            Ok(Err(error)) => Seen::Unknown(error.to_string()),
            Err(_) => Seen::Unknown(format!("no answer in {} s", REGISTRY.as_secs())),
        })
    }

    /// The clock, in the manner of NTP: a node tells its time somewhere between question and answer.
    async fn clock(&self) -> Result<Clock, HostError> {
        let ExecIo { io, .. } = self.session()?.exec(TELL_TIME).await?;
        let (read, mut write) = io.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut best: Option<Clock> = None;
        for _ in 0..SAMPLES {
            let (asked, wall) = (Instant::now(), SystemTime::now());
            write.write_all(b"\n").await.map_err(|e| silent(&e))?;
            let line = lines.next_line().await.map_err(|e| silent(&e))?;
            let half = asked.elapsed() / 2;
            let line = line.ok_or_else(|| HostError::new("it does not tell the time"))?;
            let ours = (wall + half).duration_since(UNIX_EPOCH).unwrap_or_default();
            let sample = compare(&line, ours, half)
                .ok_or_else(|| HostError::new(format!("`date` says {line:?}")))?;
            if best.is_none_or(|b| sample.within < b.within) {
                best = Some(sample);
            }
        }
        best.ok_or_else(|| HostError::new("it does not tell the time"))
    }
}

fn silent(error: &std::io::Error) -> HostError {
    HostError::new(format!("it does not tell the time: {error}"))
}

/// A line of `date +%s.%N` against our own time. Where `date` knows no nanoseconds, it may be half a second off.
fn compare(line: &str, ours: Duration, half: Duration) -> Option<Clock> {
    let (seconds, nanos) = line.trim().split_once('.').unwrap_or((line.trim(), ""));
    let seconds: u64 = seconds.parse().ok()?;
    let nanos = (nanos.len() == 9).then(|| nanos.parse::<u32>().ok()).flatten();
    let (theirs, slack) = match nanos {
        Some(nanos) => (Duration::new(seconds, nanos), 0.0),
        None => (Duration::new(seconds, 500_000_000), 0.5),
    };
    Some(Clock {
        ahead: theirs.as_secs_f64() - ours.as_secs_f64(),
        within: half.as_secs_f64() + slack,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_in_the_middle_of_the_round_trip() {
        let half = Duration::from_millis(2);
        let ours = Duration::new(1_700_000_000, 0);
        let clock = compare("1700000000.120000000", ours, half).unwrap();
        assert!((clock.ahead - 0.12).abs() < 1e-6 && (clock.within - 0.002).abs() < 1e-9);
        for whole in ["1700000000.N", "1700000000", "1700000000.%N\r"] {
            let clock = compare(whole, ours, half).unwrap();
            assert!((clock.within - 0.502).abs() < 1e-9, "{whole}");
        }
        assert_eq!(compare("date: unknown", ours, half), None);
    }
}
