//! What may follow `-o` when a volume is made. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Trouble;
use crate::inventory::{nearest, size};

/// A filesystem that volumes are formatted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Fs {
    /// ext4: the default.
    #[default]
    Ext4,
    /// XFS.
    Xfs,
}

impl Fs {
    /// As mount(8), mkfs and blkid call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// In bytes. Smaller images cannot be formatted, or leave no room: mkfs.xfs wants 300 MiB since xfsprogs 5.19.
    pub fn smallest(self) -> u64 {
        match self {
            Self::Ext4 => 16 << 20,
            Self::Xfs => 300 << 20,
        }
    }
}

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Lock {
    /// One node, held to it by the kernel: everybody else is refused for as long as it is mapped.
    #[default]
    Exclusive,
    /// One node, held to it by a look at who watches the image: allows snapshots and growing while it is in use.
    Shared,
}

/// A snapshot to make a volume from: `IMAGE@SNAPSHOT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The volume it is of.
    pub image: String,
    /// Its name.
    pub name: String,
}

/// What was asked for; what was not is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Bytes, a multiple of 1 MiB.
    pub size: Option<u64>,
    /// The filesystem.
    pub fs: Option<Fs>,
    /// The pool.
    pub pool: Option<String>,
    /// For mount(8), besides what the driver itself says.
    pub mount_options: Vec<String>,
    /// Permission bits of the folder that containers see, when it is made.
    pub mode: Option<u32>,
    /// Its owner, by number.
    pub uid: Option<u32>,
    /// Its group, by number.
    pub gid: Option<u32>,
    /// What it starts from.
    pub from_snapshot: Option<Snapshot>,
    /// Who may write.
    pub lock: Option<Lock>,
    /// Nobody may write; any number of nodes may read.
    pub read_only: Option<bool>,
}

const KNOWN: [&str; 10] = [
    "size",
    "fstype",
    "pool",
    "mount-options",
    "mode",
    "uid",
    "gid",
    "from-snapshot",
    "lock",
    "ro",
];

impl Options {
    /// Reads what followed `-o`, by name: sizes with a unit, the mode in octal digits, all as Docker passes them on.
    ///
    /// # Errors
    /// All mistakes in one sentence, and what there is to write.
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Self, Trouble> {
        let mut options = Self::default();
        let mut wrong = Vec::new();
        for (name, value) in given {
            if let Err(trouble) = options.read(name, value.trim()) {
                wrong.push(trouble.to_string());
            }
        }
        if let Some(trouble) = wrong.is_empty().then(|| options.together().err()).flatten() {
            wrong.push(trouble.to_string());
        }
        if wrong.is_empty() {
            return Ok(options);
        }
        Err(Trouble::new(wrong.join(". And: "), "nothing was made"))
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), Trouble> {
        let wrong = |hint: &str| Err(Trouble::new(format!("{name}={value} cannot be"), hint));
        match name.to_ascii_lowercase().as_str() {
            "size" => match size(value) {
                Ok(bytes) if bytes >= 1 << 20 => self.size = Some(bytes.next_multiple_of(1 << 20)),
                Ok(_) => return wrong("write a size such as 10GiB"),
                Err((what, fix)) => return Err(Trouble::new(format!("size: {what}"), fix)),
            },
            "fstype" => match value {
                "ext4" => self.fs = Some(Fs::Ext4),
                "xfs" => self.fs = Some(Fs::Xfs),
                _ => return wrong("write fstype=ext4 or fstype=xfs"),
            },
            "pool" if plain(value) => self.pool = Some(value.into()),
            "pool" => return wrong("write the name of a pool"),
            "mount-options" => {
                self.mount_options = value.split(',').map(|o| o.trim().to_owned()).collect();
                if let Some(odd) = self.mount_options.iter().find(|o| !mountable(o)) {
                    let what = format!("mount option {odd:?} cannot be used");
                    return Err(Trouble::new(what, mount_hint(odd)));
                }
            }
            "mode" => match u32::from_str_radix(value, 8) {
                Ok(mode @ 0..=0o7777) => self.mode = Some(mode),
                _ => return wrong("write it as chmod takes it, such as mode=0750"),
            },
            "uid" => match value.parse() {
                Ok(id) => self.uid = Some(id),
                Err(_) => return wrong("write a number: names differ between nodes and images"),
            },
            "gid" => match value.parse() {
                Ok(id) => self.gid = Some(id),
                Err(_) => return wrong("write a number: names differ between nodes and images"),
            },
            "from-snapshot" => match value.split_once('@') {
                Some((image, snap)) if plain(image) && plain(snap) => {
                    self.from_snapshot = Some(Snapshot { image: image.into(), name: snap.into() });
                }
                _ => return wrong("write VOLUME@SNAPSHOT"),
            },
            "lock" => match value {
                "exclusive" => self.lock = Some(Lock::Exclusive),
                "shared" => self.lock = Some(Lock::Shared),
                _ => return wrong("write lock=exclusive or lock=shared"),
            },
            "ro" => match value {
                "" | "true" => self.read_only = Some(true),
                "false" => self.read_only = Some(false),
                _ => return wrong("write ro=true or ro=false"),
            },
            other => {
                let hint = match nearest(other, &KNOWN) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", KNOWN.join(", ")),
                };
                return Err(Trouble::new(format!("there is no option {name:?}"), hint));
            }
        }
        Ok(())
    }

    /// What each says may be right, and not fit the others.
    fn together(&self) -> Result<(), Trouble> {
        if self.read_only == Some(true) && self.from_snapshot.is_none() {
            return Err(Trouble::new(
                "a volume that nobody may write to would stay empty",
                "say what is in it: from-snapshot=VOLUME@SNAPSHOT",
            ));
        }
        if self.from_snapshot.is_some() && self.fs.is_some() {
            return Err(Trouble::new(
                "a volume made from a snapshot has that one's filesystem",
                "leave `fstype` out",
            ));
        }
        match self.size {
            Some(size) if self.from_snapshot.is_none() => {
                large_enough(size, self.fs.unwrap_or_default())
            }
            _ => Ok(()),
        }
    }
}

/// Whether an image of `size` bytes can hold the filesystem.
///
/// # Errors
/// How large it has to be.
pub fn large_enough(size: u64, fs: Fs) -> Result<(), Trouble> {
    if size >= fs.smallest() {
        return Ok(());
    }
    Err(Trouble::new(
        format!("{} MiB is too small for {}", size >> 20, fs.name()),
        format!("make it {0} MiB or more: size={0}MiB", fs.smallest() >> 20),
    ))
}

/// A name that means nothing else to `rbd`: neither a path nor an option.
fn plain(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(fine)
}

/// Options that decide what is mounted where and how it is recovered are the driver's own.
fn mountable(option: &str) -> bool {
    const OURS: [&str; 12] = [
        "bind",
        "rbind",
        "move",
        "remount",
        "ro",
        "rw",
        "loop",
        "noload",
        "norecovery",
        "nouuid",
        "user",
        "users",
    ];
    let fine = |c: char| c.is_ascii_alphanumeric() || "_.=:-".contains(c);
    let name = option.split('=').next().unwrap_or_default();
    !name.is_empty() && option.chars().all(fine) && !OURS.contains(&name)
}

fn mount_hint(odd: &str) -> &'static str {
    match odd {
        "ro" => {
            "for a volume that nobody writes to say ro=true; for one container, `-v NAME:/PATH:ro`"
        }
        "" => "write them with commas between: mount-options=noatime,nodiratime",
        _ => "use those of the filesystem, such as noatime",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[(&str, &str)]) -> Result<Options, String> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Options::parse(&given).map_err(|t| t.to_string())
    }

    #[test]
    fn everything_can_be_said() {
        let all = parse(&[
            ("size", "1.5G"),
            ("fstype", "xfs"),
            ("pool", "fast"),
            ("mount-options", "noatime, logbsize=256k"),
            ("mode", "0750"),
            ("uid", "999"),
            ("gid", "0"),
            ("lock", "shared"),
            ("ro", "false"),
        ]);
        let expected = Options {
            size: Some(1536 << 20),
            fs: Some(Fs::Xfs),
            pool: Some("fast".into()),
            mount_options: vec!["noatime".into(), "logbsize=256k".into()],
            mode: Some(0o750),
            uid: Some(999),
            gid: Some(0),
            from_snapshot: None,
            lock: Some(Lock::Shared),
            read_only: Some(false),
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(parse(&[]), Ok(Options::default()));
        assert_eq!(parse(&[("size", "1000001KiB")]).unwrap().size, Some(977 << 20));
        let clone = parse(&[("from-snapshot", "data@monday"), ("ro", "true")]).unwrap();
        let of = Snapshot { image: "data".into(), name: "monday".into() };
        assert_eq!((clone.from_snapshot, clone.read_only), (Some(of), Some(true)));
    }

    #[test]
    fn every_mistake_says_what_to_do() {
        for (given, says) in [
            (("size", "10"), "write the unit: `10GiB`"),
            (("size", "big"), "20GiB"),
            (("size", "1KiB"), "such as 10GiB"),
            (("size", "8MiB"), "16 MiB or more"),
            (("sise", "1G"), "did you mean `size`?"),
            (("colour", "red"), "there are size, fstype"),
            (("fstype", "btrfs"), "fstype=ext4 or fstype=xfs"),
            (("pool", "a/b"), "the name of a pool"),
            (("pool", "--help"), "the name of a pool"),
            (("mount-options", "noatime,ro"), "say ro=true"),
            (("mount-options", "noatime,,"), "with commas"),
            (("mount-options", "x y"), "such as noatime"),
            (("mount-options", "bind"), "such as noatime"),
            (("mode", "999"), "mode=0750"),
            (("mode", "77777"), "mode=0750"),
            (("uid", "postgres"), "write a number"),
            (("gid", "-1"), "write a number"),
            (("from-snapshot", "data"), "VOLUME@SNAPSHOT"),
            (("from-snapshot", "p/data@x"), "VOLUME@SNAPSHOT"),
            (("lock", "none"), "lock=exclusive or lock=shared"),
            (("ro", "maybe"), "ro=true or ro=false"),
            (("ro", "true"), "from-snapshot="),
        ] {
            let said = parse(&[given]).unwrap_err();
            assert!(said.contains(says), "{given:?}: {said}");
        }
        let said = parse(&[("fstype", "xfs"), ("size", "200M")]).unwrap_err();
        assert!(said.contains("200 MiB is too small for xfs; make it 300 MiB or more"), "{said}");
        let said = parse(&[("fstype", "ntfs"), ("size", "x")]).unwrap_err();
        assert!(said.contains("fstype=ext4") && said.contains("not a size"), "{said}");
        let said = parse(&[("from-snapshot", "a@b"), ("fstype", "xfs")]).unwrap_err();
        assert!(said.contains("leave `fstype` out"), "{said}");
    }
}
