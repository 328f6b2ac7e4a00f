//! Single values: text to what it means, or what is wrong with it and what to write instead. No places, no files.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use ipnet::IpNet;

use super::AutoOff;
use super::problem::quoted;
use super::schema;

/// What is wrong with a value, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) fix: String,
}

impl Wrong {
    /// Both.
    pub(super) fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: fix.into() }
    }
}

/// The smallest file that is worth an OSD: BlueStore's own tables and log take over a gigabyte before the first object,
/// and below this an OSD counts as nearly full from the start.
const SMALLEST_FILE: u64 = 2 << 30;

/// BlueStore works in blocks of this size; a file is a whole number of them.
const BLOCK: u64 = 4096;

/// One of a few words. `off` and `false` are the same word to YAML, so they are here.
pub(super) fn word<'k>(text: &str, known: &[&'k str]) -> Result<&'k str, Wrong> {
    if let Some(word) = known.iter().find(|w| **w == text) {
        return Ok(word);
    }
    let off = ["false", "no"].contains(&text.to_lowercase().as_str());
    if let Some(word) = known.iter().find(|w| **w == "off").filter(|_| off) {
        return Ok(word);
    }
    let on = ["true", "yes", "on"].contains(&text.to_lowercase().as_str());
    let near = known.iter().find(|w| on && **w == "auto").copied();
    let fix = match near.or_else(|| schema::nearest(&text.to_lowercase(), known)) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("write one of {}", schema::listed(known)),
    };
    Err(Wrong::new(format!("{} is none of {}", quoted(text), schema::listed(known)), fix))
}

/// `auto` or `off`.
pub(super) fn auto_off(text: &str) -> Result<AutoOff, Wrong> {
    word(text, &["auto", "off"]).map(|w| if w == "auto" { AutoOff::Auto } else { AutoOff::Off })
}

/// A network such as `10.32.3.0/24`.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    if text.contains(',') {
        return Err(Wrong::new("this is more than one network", "write the one all nodes are in"));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 24 } else { 64 };
        let example = IpNet::new(address, bits).map_or(text.to_owned(), |n| n.trunc().to_string());
        let message = "this is an address, not a network: the prefix length is missing";
        return Err(Wrong::new(message, format!("add it, for example `{example}`")));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(Wrong::new(
            format!("{} is not a network", quoted(text)),
            "write its first address and its prefix length, for example `10.32.3.0/24` or `fd00:32::/64`",
        ));
    };
    if network.addr() != network.network() {
        let message = format!("`{network}` is an address in a network, not the network");
        return Err(Wrong::new(message, format!("write `{}`", network.trunc())));
    }
    Ok(network)
}

/// A node's IP address.
pub(super) fn address(text: &str) -> Result<IpAddr, Wrong> {
    let Ok(address) = text.parse::<IpAddr>() else {
        let fix = match text.split_once('/').map(|(ip, _)| ip.parse::<IpAddr>()) {
            Some(Ok(ip)) => format!("write `{ip}`, without the prefix length"),
            _ if in_brackets(text) => {
                format!("write `{}`, without the brackets", text.trim_matches(['[', ']']))
            }
            _ => "write the node's address in the public network; a name that SSH connects to goes under the node's \
                  `ssh:` as `host`"
                .to_owned(),
        };
        return Err(Wrong::new(format!("{} is not an IP address", quoted(text)), fix));
    };
    if address.is_unspecified() || address.is_multicast() {
        let message = format!("`{address}` is no address that a node can have");
        return Err(Wrong::new(message, "write the node's address in the public network"));
    }
    if matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        // Ceph's addresses name no interface, and without one nobody can connect to it
        let message = format!("`{address}` is a link-local address, which Ceph cannot use");
        let fix =
            "give the nodes addresses of a network of their own, for example of `fd00:32::/64`";
        return Err(Wrong::new(message, fix));
    }
    Ok(address)
}

fn in_brackets(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    inner.is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
}

/// The size of a file that an OSD lives in, in bytes, a whole number of 4 KiB blocks.
pub(super) fn file_size(text: &str) -> Result<u64, Wrong> {
    let bytes = size(text)?;
    if bytes < SMALLEST_FILE {
        return Err(Wrong::new(
            format!(
                "{} is too small for an OSD: BlueStore itself needs most of 2GiB",
                quoted(text)
            ),
            "write `2GiB` or more; files are sparse, so space is only used as data comes",
        ));
    }
    Ok(bytes / BLOCK * BLOCK)
}

/// A number of bytes with its unit: `20GiB` and `20G` are binary, `20GB` is decimal.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim());
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let scale: u128 = match unit.to_ascii_lowercase().as_str() {
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "" if !number.is_empty() => {
            let fix = format!("write the unit: `{number}GiB`, if that is meant");
            return Err(Wrong::new(format!("{} has no unit", quoted(text)), fix));
        }
        _ => 0,
    };
    let wrong = || {
        Wrong::new(
            format!("{} is not a size", quoted(text)),
            "write a number and KiB, MiB, GiB or TiB, for example `20GiB`",
        )
    };
    // three decimals are more than anybody means, and all that is needed to stay in whole numbers
    if scale == 0 || whole.is_empty() || part.is_empty() || part.len() > 3 {
        return Err(wrong());
    }
    let places = u32::try_from(part.len()).map_err(|_| wrong())?;
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u64 = part.parse().map_err(|_| wrong())?;
    let bytes = u128::from(whole) * scale + u128::from(part) * scale / 10_u128.pow(places);
    // the largest file there can be; Linux counts file sizes with a sign
    match u64::try_from(bytes).ok().filter(|b| i64::try_from(*b).is_ok()) {
        Some(bytes) => Ok(bytes),
        None => Err(Wrong::new(format!("{} is too large for a file", quoted(text)), "write less")),
    }
}

/// A block device's path under /dev.
pub(super) fn device(text: &str) -> Result<PathBuf, Wrong> {
    let path: PathBuf = Path::new(text).components().collect();
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if plain && path.starts_with("/dev") && path != Path::new("/dev") && printable(text) {
        return Ok(path);
    }
    let fix = if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        format!("write `/dev/{text}`")
    } else {
        "write a whole blank disk, for example `/dev/sdb` or `/dev/disk/by-id/…`; for a file, `file: 20GiB`"
            .to_owned()
    };
    Err(Wrong::new(format!("{} is not the path of a device under /dev", quoted(text)), fix))
}

/// An image or plugin reference: `[registry/]name[:tag][@digest]`.
pub(super) fn reference(text: &str) -> Result<String, Wrong> {
    const EXAMPLE: &str = "write it as `docker pull` takes it, for example `quay.io/ceph/ceph:v19`";
    let wrong = |message: &str, fix: &str| Err(Wrong::new(message, fix));
    if text.is_empty() {
        return wrong("the reference is empty", EXAMPLE);
    }
    if let Some((_, rest)) = text.split_once("://") {
        let fix =
            if has_login(rest) { EXAMPLE.to_owned() } else { format!("write {}", quoted(rest)) };
        return Err(Wrong::new("a reference has no `…://` in front", fix));
    }
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "._/:@-+[]".contains(c));
    if let Some(c) = text.chars().find(|c| odd(*c)) {
        return wrong(&format!("{} cannot be in a reference", quoted(&c.to_string())), EXAMPLE);
    }
    let edge = |c: char| "/:@-.".contains(c);
    if text.starts_with(edge) || text.ends_with(edge) || text.contains("//") {
        return wrong("this is not a reference", EXAMPLE);
    }
    Ok(text.to_owned())
}

/// A registry's `host[:port]`.
pub(super) fn registry_server(text: &str) -> Result<String, Wrong> {
    const EXAMPLE: &str = "write its host and port, for example `r.example:5000`";
    if let Some((_, rest)) = text.split_once("://") {
        let fix = if has_login(rest) {
            EXAMPLE.to_owned()
        } else {
            format!("write {}", quoted(rest.trim_end_matches('/')))
        };
        return Err(Wrong::new("a registry has no `…://` in front", fix));
    }
    if text.is_empty() || !printable(text) || text.starts_with('-') || text.contains('@') {
        return Err(Wrong::new("this is not the host and port of a registry", EXAMPLE));
    }
    Ok(text.to_owned())
}

fn has_login(text: &str) -> bool {
    text.contains('@')
}

/// The name of an environment variable.
pub(super) fn env_name(text: &str) -> Result<String, Wrong> {
    let head = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if head && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        "this is not the name of an environment variable",
        "write the variable's name without `$`, for example `REGISTRY_PASSWORD`; never the password itself",
    ))
}

/// A pool's name. Ceph allows more, but `/` and `@` mean something to `rbd`, and a leading dot is Ceph's own.
pub(super) fn pool_name(text: &str) -> Result<String, Wrong> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let head = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if head && plain && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be the name of a pool", quoted(text)),
        "use 1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or a digit, for example `rbd`",
    ))
}

/// How many copies a pool keeps.
pub(super) fn pool_size(text: &str) -> Result<u8, Wrong> {
    // Ceph's own limit is 10
    match text.parse::<u8>() {
        Ok(size @ 1..=10) => Ok(size),
        _ => Err(Wrong::new(
            format!("{} is not a number of copies", quoted(text)),
            "write a number from 1 to 10, or leave `size` out: it is then 3, or the number of nodes with OSDs if that \
             is less",
        )),
    }
}

/// Neither spaces nor control characters.
pub(super) fn printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_unless_they_say_otherwise() {
        assert_eq!(size("20GiB"), Ok(20 << 30));
        assert_eq!(size("20G"), Ok(20 << 30));
        assert_eq!(size("20 gib"), Ok(20 << 30));
        assert_eq!(size("1.5TiB"), Ok(3 << 39));
        assert_eq!(size("20GB"), Ok(20_000_000_000));
        assert_eq!(file_size("20GB"), Ok(19_999_997_952));
        for bad in ["", "G", "20", "1.G", ".5G", "-3G", "1e3G", "20GiBB", "99999999TiB", "1.2345G"]
        {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(file_size("2GB").is_err());
        assert!(file_size("2GiB").is_ok());
    }

    #[test]
    fn references_are_what_docker_pulls() {
        for good in
            ["quay.io/ceph/ceph:v19", "10.32.3.112:5011/rexray/rbd", "a@sha256:00", "lab/ceph:16"]
        {
            assert!(reference(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "https://r/x", "-x", "a//b", "x:", "ceph\u{7}"] {
            assert!(reference(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_ones_that_others_can_connect_to() {
        assert!(address("10.32.3.147").is_ok() && address("FD00:32:3:0::21").is_ok());
        for bad in
            ["::", "0.0.0.0", "ff02::1", "224.0.0.1", "fe80::1", "fd00::1/64", "fd00::1%eth0"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
        let fix = address("[fd00::1]").unwrap_err().fix;
        assert_eq!(fix, "write `fd00::1`, without the brackets");
    }

    #[test]
    fn devices_are_under_dev() {
        assert_eq!(device("/dev//sdb/"), Ok(PathBuf::from("/dev/sdb")));
        for bad in ["sdb", "/dev", "/dev/", "/dev/../etc", "/etc/x", "/devil", "", "/dev/s b"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
