//! What is in an image file: the tags and the image of a `docker save`, read in one pass.
//!
//! Such a file is a tar archive, which may be gzipped. `manifest.json` lists its images, each by its configuration and
//! tags; Docker 25 and later add `index.json` with the manifests' digests. Layers are passed over.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::{ImageFact, split, whole};
use crate::secret::sha256;

/// What one image of an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The image.
    pub image: ImageFact,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The CPU architectures it is for, in Go's words (`amd64`, `arm64`), as in OCI's image specification. Empty where
    /// the file does not say.
    pub architectures: BTreeSet<String>,
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is no image file.
    #[error("it is no image file: {0}")]
    Not(String),
    /// The image is not in it.
    #[error("{}", held(.0))]
    Lacks(Vec<String>),
}

fn held(tags: &[String]) -> String {
    match tags {
        [] => "it holds images without a tag".into(),
        tags => format!("it holds {}", tags.join(", ")),
    }
}

/// Files of more bytes than this are layers.
const SMALL: u64 = 4 << 20;
/// All small files together.
const ALL_SMALL: u64 = 64 << 20;
/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Finds the image `reference` in the file at `path`.
///
/// # Errors
/// It cannot be read, is no image file, or holds other images.
pub fn read(path: &Path, reference: &str) -> Result<Archived, ArchiveError> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(ArchiveError::Not("it is no regular file".into()));
    }
    let mut begin = Vec::new();
    file.by_ref().take(2).read_to_end(&mut begin)?;
    file.seek(SeekFrom::Start(0))?;
    let files = if begin == GZIP {
        let mut archive = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
        small_files(archive.entries()?)
    } else {
        let mut archive = tar::Archive::new(file);
        small_files(archive.entries_with_seek()?)
    };
    let (image, architectures) = find(&files?, reference)?;
    Ok(Archived { image, bytes: about.len(), architectures })
}

/// Files of an archive by their names, but for layers.
type Files = HashMap<String, Vec<u8>>;

fn small_files<'a, R: Read + 'a>(
    entries: impl Iterator<Item = io::Result<tar::Entry<'a, R>>>,
) -> Result<Files, ArchiveError> {
    let mut files = Files::new();
    let mut sum = 0;
    for entry in entries {
        let mut entry = entry.map_err(|e| not_a_tar(&e))?;
        let size = entry.header().size().map_err(|e| not_a_tar(&e))?;
        if !entry.header().entry_type().is_file() || size > SMALL {
            continue;
        }
        sum += size;
        if sum > ALL_SMALL {
            return Err(ArchiveError::Not("it is made of too many small files".into()));
        }
        let name = entry.path().map_err(|e| not_a_tar(&e))?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|e| not_a_tar(&e))?;
        files.insert(name.trim_start_matches("./").to_owned(), content);
    }
    Ok(files)
}

/// The system's own errors have a code; what the tar and gzip readers make up has none.
fn not_a_tar(error: &io::Error) -> ArchiveError {
    match error.raw_os_error() {
        Some(code) => ArchiveError::Io(io::Error::from_raw_os_error(code)),
        None => ArchiveError::Not(error.to_string()),
    }
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
}

/// An image's configuration.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
    architecture: Option<String>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// `index.json` of the OCI layout, and the index of an image for several platforms.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
}

/// The annotations that hold a reference, whole or only its tag.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// The image, and the architectures it is there for.
fn find(files: &Files, reference: &str) -> Result<(ImageFact, BTreeSet<String>), ArchiveError> {
    let manifest = files.get("manifest.json").ok_or_else(|| {
        ArchiveError::Not("there is no manifest.json in it, as `docker save` writes it".into())
    })?;
    let saved: Vec<Saved> = json("manifest.json", manifest)?;
    let tags = |s: &Saved| s.repo_tags.clone().unwrap_or_default();
    let wanted = whole(reference);
    let Some(image) = saved.iter().find(|s| tags(s).iter().any(|t| whole(t) == wanted)) else {
        return Err(ArchiveError::Lacks(saved.iter().flat_map(tags).collect()));
    };
    let text = files
        .get(&image.config)
        .ok_or_else(|| ArchiveError::Not(format!("{} is not in it", image.config)))?;
    let config: Config = json(&image.config, text)?;
    let digests = match files.get("index.json") {
        Some(text) => manifests(&json("index.json", text)?, reference, &wanted),
        None => Vec::new(),
    };
    let mut architectures: BTreeSet<String> = config.architecture.into_iter().collect();
    architectures.extend(digests.iter().flat_map(|digest| platforms(files, digest)));
    let id = format!("sha256:{}", sha256(text));
    Ok((ImageFact::new(id, digests, &config.rootfs.diff_ids), architectures))
}

/// The architectures of an image for several platforms, of those that are in the file: an index names all that its
/// registry has, and `docker save` writes those that were pulled. Empty where `digest` is no such index.
fn platforms(files: &Files, digest: &str) -> Vec<String> {
    let blob = |digest: &str| files.get(&format!("blobs/{}", digest.replace(':', "/")));
    let index: Option<Index> = blob(digest).and_then(|text| serde_json::from_slice(text).ok());
    let manifests = index.into_iter().flat_map(|index| index.manifests);
    let there = manifests.filter(|m| blob(&m.digest).is_some());
    there.filter_map(|m| Some(m.platform?.architecture)).filter(|a| a != "unknown").collect()
}

/// The digests of `index.json` that are the image's.
fn manifests(index: &Index, reference: &str, wanted: &str) -> Vec<String> {
    let named = |d: &&Descriptor| {
        let names = NAMES.iter().filter_map(|name| d.annotations.get(*name));
        names.into_iter().any(|name| whole(name) == wanted)
    };
    let tagged = |d: &&Descriptor| {
        d.annotations.get(NAMES[1]).is_some_and(|tag| tag == split(reference).1)
            && !d.annotations.contains_key(NAMES[0])
    };
    let alone = index.manifests.len() == 1;
    index
        .manifests
        .iter()
        .filter(|d| alone || named(d) || tagged(d))
        .map(|d| d.digest.clone())
        .collect()
}

fn json<'t, T: Deserialize<'t>>(name: &str, text: &'t [u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(text).map_err(|e| ArchiveError::Not(format!("{name} in it: {e}")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const CONFIG: &str =
        r#"{"architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:1"]}}"#;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// The layer comes first, as `docker save` has it.
    fn saved(tags: &str, index: &str) -> Vec<u8> {
        let layer = vec![7; 5 << 20];
        let manifest =
            format!(r#"[{{"Config":"blobs/c","RepoTags":{tags},"Layers":["blobs/l"]}}]"#);
        let mut files: Vec<(&str, &[u8])> = vec![
            ("blobs/l", &layer),
            ("blobs/c", CONFIG.as_bytes()),
            ("manifest.json", manifest.as_bytes()),
        ];
        if !index.is_empty() {
            files.push(("index.json", index.as_bytes()));
        }
        tar(&files)
    }

    fn read_bytes(bytes: &[u8], reference: &str) -> Result<Archived, ArchiveError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read(file.path(), reference)
    }

    #[test]
    fn the_id_is_the_digest_of_the_configuration() {
        let bytes = saved(r#"["old:1","ceph/ceph:v19"]"#, "");
        let archived = read_bytes(&bytes, "docker.io/ceph/ceph:v19").unwrap();
        assert_eq!(archived.image.id, format!("sha256:{}", sha256(CONFIG)));
        assert_eq!(archived.bytes, bytes.len() as u64);
        assert!(archived.image.digests.is_empty());
    }

    #[test]
    fn a_gzipped_one_is_read_as_well() {
        let bytes = saved(r#"["ceph:v19"]"#, "");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        let plain = read_bytes(&bytes, "ceph:v19").unwrap();
        assert_eq!(read_bytes(&gzip.finish().unwrap(), "ceph:v19").unwrap().image, plain.image);
    }

    #[test]
    fn the_manifest_of_the_image_is_taken_and_no_other() {
        let index = r#"{"manifests":[
            {"digest":"sha256:a","annotations":{"io.containerd.image.name":"docker.io/ceph/ceph:v19","org.opencontainers.image.ref.name":"v19"}},
            {"digest":"sha256:b","annotations":{"io.containerd.image.name":"docker.io/other/ceph:v19","org.opencontainers.image.ref.name":"v19"}}]}"#;
        let archived = read_bytes(&saved(r#"["ceph/ceph:v19"]"#, index), "ceph/ceph:v19").unwrap();
        assert_eq!(archived.image.digests, ["sha256:a"]);
    }

    #[test]
    fn the_architectures_are_those_that_are_in_the_file() {
        let amd64 = read_bytes(&saved(r#"["ceph:v19"]"#, ""), "ceph:v19").unwrap();
        assert_eq!(amd64.architectures, ["amd64".to_owned()].into());
        // as the containerd store saves an image for three platforms of which two were pulled, and its attestation
        let config = CONFIG.replace(r#""architecture":"amd64","#, "");
        let all = r#"{"manifests":[
            {"digest":"sha256:1","platform":{"architecture":"arm64","os":"linux"}},
            {"digest":"sha256:2","platform":{"architecture":"s390x","os":"linux"}},
            {"digest":"sha256:3","platform":{"architecture":"ppc64le","os":"linux"}},
            {"digest":"sha256:4","platform":{"architecture":"unknown","os":"unknown"}}]}"#;
        let bytes = tar(&[
            ("blobs/sha256/0", all.as_bytes()),
            ("blobs/sha256/1", b"{}"),
            ("blobs/sha256/2", b"{}"),
            ("blobs/sha256/4", b"{}"),
            ("c", config.as_bytes()),
            ("manifest.json", br#"[{"Config":"c","RepoTags":["ceph:v19"]}]"#),
            ("index.json", br#"{"manifests":[{"digest":"sha256:0"}]}"#),
        ]);
        let several = read_bytes(&bytes, "ceph:v19").unwrap().architectures;
        assert_eq!(several, ["arm64".to_owned(), "s390x".to_owned()].into());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |bytes: &[u8]| read_bytes(bytes, "ceph:v19").unwrap_err().to_string();
        assert_eq!(said(&saved(r#"["ceph/ceph:v18","a:b"]"#, "")), "it holds ceph/ceph:v18, a:b");
        assert_eq!(said(&saved("null", "")), "it holds images without a tag");
        assert!(said(&tar(&[("oci-layout", b"{}")])).contains("no manifest.json"));
        assert!(said(b"").contains("no manifest.json"));
        assert!(said(&[b'x'; 4096]).contains("no image file"));
        assert!(said(&[0x1f, 0x8b, 1, 2]).contains("no image file"));
        let cut = saved(r#"["ceph:v19"]"#, "");
        assert!(said(&cut[..2 << 20]).contains("no image file"));
        assert!(
            read(Path::new("/nowhere"), "a").unwrap_err().to_string().contains("cannot be read")
        );
    }
}
