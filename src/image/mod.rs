//! What an image is called and how it is recognised. Pure, but for [`archive::read`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::{Secret, sha256};

pub mod archive;

/// An image, by everything that tells it from another one of the same reference.
///
/// Docker's own image store calls an image by the digest of its configuration, the containerd store (the default since
/// Docker 29) by that of its manifest or index; what is pulled has the latter among its `RepoDigests` in both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageFact {
    /// The id that Docker gives it, `sha256:…`.
    pub id: String,
    /// Digests of manifests and indexes that it goes by as well, `sha256:…`.
    pub digests: Vec<String>,
    /// SHA-256 (hex) of the list of its unpacked layers' digests: the same in every store.
    pub layers: String,
}

impl ImageFact {
    /// Puts one together. `layers`: the digests of `RootFS.Layers` in their order.
    pub fn new(id: String, digests: Vec<String>, layers: &[String]) -> Self {
        Self { id, digests, layers: sha256(layers.join("\n")) }
    }

    /// Whether both are the same image.
    ///
    /// The containerd store writes a manifest of its own for an archive that has none, with a digest that nobody else
    /// knows: there the layers decide.
    pub fn same(&self, other: &Self) -> bool {
        let all = |image: &Self| {
            let own = std::iter::once(image.id.clone());
            own.chain(image.digests.iter().cloned()).collect::<Vec<_>>()
        };
        let (ours, theirs) = (all(self), all(other));
        ours.iter().any(|digest| theirs.contains(digest))
            || ((self.by_manifest() || other.by_manifest()) && self.layers == other.layers)
    }

    /// Whether the id is that of a manifest.
    fn by_manifest(&self) -> bool {
        self.digests.contains(&self.id)
    }

    /// The id as `docker images` shows it.
    pub fn short(&self) -> &str {
        short(&self.id)
    }
}

/// The beginning of an image id, as `docker images` shows it.
pub fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}

/// Whether a Docker of the architecture `docker` runs an image for `image`, both in Go's words. Those that run another
/// one's programs natively run its images too.
pub fn runs(docker: &str, image: &str) -> bool {
    docker == image || matches!((docker, image), ("amd64", "386") | ("arm64", "arm"))
}

/// The login for a registry, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The registry, `host[:port]`.
    pub server: String,
    /// The account.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Where the password comes from, for messages: "the file …", "the variable …".
    pub source: String,
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.username, self.server)
    }
}

/// Docker Hub, as Docker itself names it in a reference.
const HUB: &str = "docker.io";

/// The registry that `reference` is pulled from. Docker takes the part before the first slash for a host if it has a
/// dot or a port or is `localhost`; all else comes from Docker Hub.
pub fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => HUB,
    }
}

/// Whether `server`, as a user names a registry, is the one that `reference` is pulled from.
pub fn is_from(reference: &str, server: &str) -> bool {
    let plain = |name: &str| {
        let name = name.trim_end_matches('/').to_lowercase();
        if ["index.docker.io", "registry-1.docker.io"].contains(&name.as_str()) {
            HUB.to_owned()
        } else {
            name
        }
    };
    plain(server) == plain(registry(reference))
}

/// A reference in its longest form, so that two ways to write one image are the same.
pub fn whole(reference: &str) -> String {
    let (name, tag) = split(reference);
    let name =
        name.strip_prefix("index.docker.io/").or(name.strip_prefix("docker.io/")).unwrap_or(name);
    let (host, path) = match registry(name) {
        HUB => (HUB, name),
        host => (host, &name[host.len() + 1..]),
    };
    let library = if host == HUB && !path.contains('/') { "library/" } else { "" };
    let tag = if tag.is_empty() { String::new() } else { format!(":{tag}") };
    format!("{host}/{library}{path}{tag}")
}

/// The reference with a tag or digest, as Docker lists what it has.
pub fn tagged(reference: &str) -> String {
    match split(reference) {
        (name, "") => name.to_owned(),
        (name, tag) => format!("{name}:{tag}"),
    }
}

/// What `reference` is called as a copy in another registry, which may name a folder there too.
pub fn mirrored(reference: &str, registry: &str) -> String {
    let whole = tagged(reference);
    let path = match self::registry(&whole) {
        host if whole.starts_with(&format!("{host}/")) => whole[host.len() + 1..].to_owned(),
        _ => whole,
    };
    format!("{}/{path}", registry.trim_end_matches('/'))
}

/// Image and tag of a reference; without a tag, `latest`, for otherwise Docker would pull every tag. A digest stays
/// with the image.
pub fn split(reference: &str) -> (&str, &str) {
    if reference.contains('@') {
        return (reference, "");
    }
    match reference.rsplit_once(':') {
        Some((image, tag)) if !tag.contains('/') => (image, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_path() {
        for (from, to, copy) in [
            ("rexray/rbd", "10.0.0.1:5011", "10.0.0.1:5011/rexray/rbd:latest"),
            ("r.example/a/b:2", "10.0.0.1:5011/x/", "10.0.0.1:5011/x/a/b:2"),
            ("docker.io/a/b:2", "r:1", "r:1/a/b:2"),
        ] {
            assert_eq!(mirrored(from, to), copy);
        }
    }

    #[test]
    fn references() {
        assert_eq!(split("quay.io/ceph/ceph:v19"), ("quay.io/ceph/ceph", "v19"));
        assert_eq!(split("10.0.0.1:5000/ceph"), ("10.0.0.1:5000/ceph", "latest"));
        assert_eq!(split("ceph@sha256:ab"), ("ceph@sha256:ab", ""));
    }

    #[test]
    fn a_registry_is_what_docker_takes_for_one() {
        assert_eq!(registry("quay.io/ceph/ceph:v19"), "quay.io");
        assert_eq!(registry("r:5000/ceph"), "r:5000");
        assert_eq!(registry("localhost/ceph"), "localhost");
        assert_eq!(registry("ceph/daemon"), "docker.io");
        assert_eq!(registry("ceph:v19"), "docker.io");
    }

    #[test]
    fn a_login_is_for_its_own_registry_alone() {
        assert!(is_from("R.example:5000/ceph:v19", "r.example:5000"));
        assert!(is_from("ceph/daemon", "index.docker.io"));
        assert!(!is_from("quay.io/ceph/ceph", "r.example:5000"));
        assert!(!is_from("r.example/ceph", "r.example:5000"));
        assert!(!is_from("r.example:5000.evil.org/ceph", "r.example:5000"));
        assert!(!is_from("r.example:5000/ceph", "example:5000"));
    }

    #[test]
    fn one_image_written_in_two_ways() {
        for (a, b) in [
            ("ceph/daemon", "docker.io/ceph/daemon:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("r.example:5000/ceph", "r.example:5000/ceph:latest"),
        ] {
            assert_eq!(whole(a), whole(b));
        }
        assert_ne!(whole("quay.io/ceph/ceph:v19"), whole("ceph/ceph:v19"));
    }

    #[test]
    fn images_are_told_apart_in_both_of_dockers_stores() {
        let layers = |n: &str| vec![format!("sha256:{n}")];
        let image = |id: &str, digests: &[&str], l: &str| {
            let digests = digests.iter().map(|d| (*d).to_owned()).collect();
            ImageFact::new(id.into(), digests, &layers(l))
        };
        let pulled = image("config", &["index"], "1");
        let loaded = image("config", &[], "1");
        let other = image("config2", &["index2"], "1");
        assert!(pulled.same(&loaded));
        assert!(!pulled.same(&other), "other settings make another image");
        // a node with the containerd store: pulled, and loaded from an archive without a manifest
        assert!(image("index", &["index"], "1").same(&pulled));
        assert!(image("made-up", &["made-up"], "1").same(&loaded));
        assert!(!image("made-up", &["made-up"], "2").same(&loaded));
    }
}
