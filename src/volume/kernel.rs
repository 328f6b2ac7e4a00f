//! This node: krbd's devices, mounts, filesystems, processes. What the kernel says is the truth.

use std::collections::HashSet;
use std::fs;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{self, Failed};
use super::options::Fs;
use super::state::Daemon;

/// A mapped image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// N of `/dev/rbdN`.
    pub number: u32,
    /// As mountinfo writes it: `251:0`.
    pub major_minor: String,
    /// Its pool.
    pub pool: String,
    /// The image's name when it was mapped.
    pub name: String,
    /// The image's id, which stays what it is whatever happens to the name.
    pub image_id: String,
    /// The address and nonce of the kernel's client: the same text that watchers have. Linux 4.9.
    pub client: String,
}

impl Device {
    /// `/dev/rbdN`.
    pub fn path(&self) -> PathBuf {
        format!("/dev/rbd{}", self.number).into()
    }
}

/// A filesystem that is mounted in this mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// What: `251:0`.
    pub major_minor: String,
    /// Where.
    pub at: PathBuf,
}

/// The folder in a volume that containers see, as it is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folder {
    /// Its permission bits.
    pub mode: Option<u32>,
    /// Its owner, by number.
    pub uid: Option<u32>,
    /// Its group, by number.
    pub gid: Option<u32>,
}

/// What the driver needs of the node it runs on: the seam for a stand-in. Errors: the program that does it (blkid, mkfs,
/// mount and their kin) did not start, failed, or took too long.
pub trait Kernel: Send + Sync + 'static {
    /// Images that are mapped, whoever did it; no snapshots.
    fn devices(&self) -> Vec<Device>;
    /// Whether an `rbd map` of this name runs, whoever started it.
    fn mapping(&self, pool: &str, name: &str) -> bool;
    /// How many bytes a device has.
    fn size(&self, device: &Device) -> Option<u64>;
    /// What is mounted here.
    fn mounts(&self) -> Vec<Mounted>;
    /// Whether somebody but the driver has `device` mounted: a container, or anybody in this namespace outside `root`.
    fn used(&self, device: &Device, root: &Path) -> bool;
    /// The dockerd that has this process id.
    fn dockerd(&self, pid: i32) -> Option<Daemon>;
    /// Whether it still runs.
    fn alive(&self, daemon: &Daemon) -> bool;
    /// This boot: `/proc/sys/kernel/random/boot_id`.
    fn boot_id(&self) -> String;
    /// `rbd map`'s options for this kernel, besides those that say who may write.
    fn map_options(&self) -> Option<&'static str>;
    /// The bits of the image features that it can map; `None` where it does not say.
    fn features(&self) -> Option<u64>;
    /// What is on a device, as blkid calls it; `None`: nothing that anybody knows.
    fn signature(
        &self,
        device: &Path,
    ) -> impl Future<Output = Result<Option<String>, Failed>> + Send;
    /// Makes a filesystem.
    fn format(&self, device: &Path, fs: Fs) -> impl Future<Output = Result<(), Failed>> + Send;
    /// Puts right what a crash left, where that loses nothing.
    fn repair(&self, device: &Path, fs: Fs) -> impl Future<Output = Result<(), Failed>> + Send;
    /// Mounts it.
    fn mount(
        &self,
        device: &Path,
        at: &Path,
        fs: Fs,
        options: &str,
    ) -> impl Future<Output = Result<(), Failed>> + Send;
    /// Grows the filesystem that is mounted there to what the device has. Does nothing where it has all of it.
    fn grow(
        &self,
        device: &Path,
        at: &Path,
        fs: Fs,
    ) -> impl Future<Output = Result<(), Failed>> + Send;
    /// Unmounts it, if nobody uses it.
    fn unmount(&self, at: &Path) -> impl Future<Output = Result<(), Failed>> + Send;
    /// Makes the folder that containers see, unless it is there.
    ///
    /// # Errors
    /// The filesystem is full or read-only.
    fn make_folder(&self, at: &Path, folder: Folder) -> std::io::Result<()>;
}

/// The node itself. `sys` and `proc` are other folders in tests only.
#[derive(Debug, Clone)]
pub struct Linux {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
}

impl Linux {
    fn word(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }

    fn stat(&self, pid: i32) -> Option<(String, u64)> {
        let text = fs::read_to_string(self.proc.join(pid.to_string()).join("stat")).ok()?;
        started(&text)
    }
}

/// The name of a process and when it was started, of /proc/PID/stat. The name may hold anything, spaces and brackets too.
fn started(stat: &str) -> Option<(String, u64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    Some((name.to_owned(), after.split_whitespace().nth(19)?.parse().ok()?))
}

/// Lines of /proc/self/mountinfo. Spaces in paths are octal there: proc(5).
pub fn mountinfo(text: &str) -> Vec<Mounted> {
    let read = |line: &str| {
        let mut words = line.split(' ');
        let major_minor = words.nth(2)?.to_owned();
        let at = words.nth(1)?.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        Some(Mounted { major_minor, at: at.into() })
    };
    text.lines().filter_map(read).collect()
}

/// Whether this kernel's krbd speaks messenger v2: Linux 5.11.
fn speaks_msgr2(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (5, 11)
}

const LOOK: Duration = Duration::from_secs(20);
const MOUNT: Duration = Duration::from_secs(60);
/// Flushing what was written can take long on a slow cluster.
const UNMOUNT: Duration = Duration::from_secs(45);
const FORMAT: Duration = Duration::from_secs(90);

impl Kernel for Linux {
    fn devices(&self) -> Vec<Device> {
        let Ok(entries) = fs::read_dir(self.sys.join("bus/rbd/devices")) else { return Vec::new() };
        let read = |entry: fs::DirEntry| {
            let word = |name: &str| Self::word(&entry.path().join(name));
            // "-" is the image itself
            if word("current_snap").is_some_and(|snapshot| snapshot != "-") {
                return None;
            }
            Some(Device {
                number: entry.file_name().to_str()?.parse().ok()?,
                major_minor: format!("{}:{}", word("major")?, word("minor")?),
                pool: word("pool")?,
                name: word("name")?,
                image_id: word("image_id")?,
                client: word("client_addr").unwrap_or_default(),
            })
        };
        entries.filter_map(|entry| read(entry.ok()?)).collect()
    }

    fn mapping(&self, pool: &str, name: &str) -> bool {
        let Ok(entries) = fs::read_dir(&self.proc) else { return false };
        let maps = |entry: fs::DirEntry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let says = |option: &str, value: &str| {
                words.windows(2).any(|w| w == [option.as_bytes(), value.as_bytes()])
            };
            words.contains(&b"map".as_slice()) && says("--pool", pool) && says("--image", name)
        };
        entries.filter_map(Result::ok).any(maps)
    }

    fn size(&self, device: &Device) -> Option<u64> {
        let path = self.sys.join("bus/rbd/devices").join(device.number.to_string()).join("size");
        Self::word(&path)?.parse().ok()
    }

    fn mounts(&self) -> Vec<Mounted> {
        let text = fs::read_to_string(self.proc.join("self/mountinfo")).unwrap_or_default();
        mountinfo(&text)
    }

    fn used(&self, device: &Device, root: &Path) -> bool {
        let other = |m: &Mounted| m.major_minor == device.major_minor && !m.at.starts_with(root);
        if self.mounts().iter().any(other) {
            return true;
        }
        // the driver's own mount is in every namespace that was made as a copy of this one; a container's has only the
        // folder that it sees, and where a process cannot be looked at it has just ended
        let mut seen = HashSet::new();
        seen.extend(fs::read_link(self.proc.join("self/ns/mnt")).ok());
        let Ok(processes) = fs::read_dir(&self.proc) else { return true };
        for process in processes.filter_map(Result::ok) {
            let pid = process.file_name();
            if !pid.to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let Ok(namespace) = fs::read_link(process.path().join("ns/mnt")) else { continue };
            if !seen.insert(namespace) {
                continue;
            }
            let text = fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default();
            if mountinfo(&text).iter().any(other) {
                return true;
            }
        }
        false
    }

    fn dockerd(&self, pid: i32) -> Option<Daemon> {
        let (name, started) = self.stat(pid)?;
        (name == "dockerd").then_some(Daemon { pid, started })
    }

    fn alive(&self, daemon: &Daemon) -> bool {
        self.stat(daemon.pid).is_some_and(|(_, started)| started == daemon.started)
    }

    fn boot_id(&self) -> String {
        Self::word(&self.proc.join("sys/kernel/random/boot_id")).unwrap_or_default()
    }

    fn map_options(&self) -> Option<&'static str> {
        let release = Self::word(&self.proc.join("sys/kernel/osrelease")).unwrap_or_default();
        // older kernels know no such option; newer tools would use messenger v2 on them by themselves
        speaks_msgr2(&release).then_some("ms_mode=prefer-crc")
    }

    fn features(&self) -> Option<u64> {
        let text = Self::word(&self.sys.join("bus/rbd/supported_features"))?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    }

    async fn signature(&self, device: &Path) -> Result<Option<String>, Failed> {
        let args = ["-p", "-o", "export"].map(AsRef::as_ref);
        let args = args.into_iter().chain([device.as_os_str()]);
        match command::run("blkid", args, LOOK).await {
            Ok(said) => Ok(Some(signature(&said))),
            // blkid(8): 2 means that nothing was found; something ambivalent is 8
            Err(Failed::Exit { code: 2, .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    async fn format(&self, device: &Path, fs: Fs) -> Result<(), Failed> {
        // a fresh image has nothing to discard and reads as zeros
        let (program, args): (_, &[&str]) = match fs {
            Fs::Ext4 => (
                "mkfs.ext4",
                &["-q", "-m0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"],
            ),
            Fs::Xfs => ("mkfs.xfs", &["-q", "-K"]),
        };
        let args = args.iter().map(AsRef::as_ref).chain([device.as_os_str()]);
        command::run(program, args, FORMAT).await.map(drop)
    }

    async fn repair(&self, device: &Path, fs: Fs) -> Result<(), Failed> {
        if fs == Fs::Xfs {
            return Ok(()); // mounting replays its journal; what that cannot mend is for a person to decide
        }
        let args = ["-p".as_ref(), device.as_os_str()];
        match command::run("fsck.ext4", args, FORMAT).await {
            Ok(_) | Err(Failed::Exit { code: 1, .. }) => Ok(()), // 1: mended
            Err(failed) => Err(failed),
        }
    }

    async fn mount(&self, device: &Path, at: &Path, fs: Fs, options: &str) -> Result<(), Failed> {
        let start =
            |e: std::io::Error| Failed::Start { program: "mount".into(), why: e.to_string() };
        fs::create_dir_all(at).map_err(start)?;
        let mut args = vec!["-t".as_ref(), fs.name().as_ref()];
        if !options.is_empty() {
            args.extend(["-o".as_ref(), std::ffi::OsStr::new(options)]);
        }
        args.extend([device.as_os_str(), at.as_os_str()]);
        command::run("mount", args, MOUNT).await.map(drop)
    }

    async fn grow(&self, device: &Path, at: &Path, fs: Fs) -> Result<(), Failed> {
        match fs {
            Fs::Ext4 => command::run("resize2fs", [device], MOUNT).await.map(drop),
            Fs::Xfs => command::run("xfs_growfs", [at], MOUNT).await.map(drop),
        }
    }

    async fn unmount(&self, at: &Path) -> Result<(), Failed> {
        command::run("umount", [at], UNMOUNT).await?;
        drop(fs::remove_dir(at)); // an empty folder that stays does no harm
        Ok(())
    }

    fn make_folder(&self, at: &Path, folder: Folder) -> std::io::Result<()> {
        if at.is_dir() {
            return Ok(());
        }
        // under another name until it is as it shall be: a crash in between leaves nothing that looks finished
        let beside = at.with_extension("new");
        fs::create_dir_all(&beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(folder.mode.unwrap_or(0o755)))?;
        chown(&beside, folder.uid, folder.gid)?;
        fs::rename(&beside, at)
    }
}

/// What `blkid -p -o export` found, in words.
fn signature(export: &str) -> String {
    let value = |key: &str| export.lines().find_map(|l| l.strip_prefix(key));
    match (value("TYPE="), value("PTTYPE=")) {
        (Some(kind), _) => kind.to_owned(),
        (None, Some(table)) => format!("a partition table ({table})"),
        (None, None) => "something".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_of_sysfs() {
        let folder = tempfile::tempdir().unwrap();
        let linux = Linux { sys: folder.path().into(), proc: "/proc".into() };
        assert_eq!(linux.devices(), []);
        assert_eq!(linux.features(), None);
        let device = folder.path().join("bus/rbd/devices/3");
        fs::create_dir_all(&device).unwrap();
        for (name, value) in [
            ("major", "251"),
            ("minor", "48"),
            ("pool", "rbd"),
            ("name", "data"),
            ("image_id", "10c9d1a7a3f1"),
            ("client_addr", "10.32.3.147:0/1434120812"),
            ("size", "1073741824"),
        ] {
            fs::write(device.join(name), format!("{value}\n")).unwrap();
        }
        fs::write(folder.path().join("bus/rbd/supported_features"), "0x3d\n").unwrap();
        let snapshot = folder.path().join("bus/rbd/devices/2");
        fs::create_dir_all(&snapshot).unwrap();
        for file in fs::read_dir(&device).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), snapshot.join(file.file_name())).unwrap();
        }
        fs::write(device.join("current_snap"), "-\n").unwrap();
        fs::write(snapshot.join("current_snap"), "yesterday\n").unwrap();
        fs::create_dir_all(folder.path().join("bus/rbd/devices/4")).unwrap(); // half there: being mapped
        let expected = Device {
            number: 3,
            major_minor: "251:48".into(),
            pool: "rbd".into(),
            name: "data".into(),
            image_id: "10c9d1a7a3f1".into(),
            client: "10.32.3.147:0/1434120812".into(),
        };
        assert_eq!(expected.path(), Path::new("/dev/rbd3"));
        assert_eq!(linux.size(&expected), Some(1 << 30));
        assert_eq!(linux.size(&Device { number: 4, ..expected.clone() }), None);
        assert_eq!(linux.devices(), [expected]);
        assert_eq!(linux.features(), Some(0x3d));
    }

    #[test]
    fn a_map_that_runs_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let linux = Linux { sys: "/sys".into(), proc: folder.path().into() };
        let process = folder.path().join("812");
        fs::create_dir_all(&process).unwrap();
        let line = |name: &str| {
            format!(
                "rbd\0--id\0cephdock\0map\0--pool\0rbd\0--image\0{name}\0--options\0exclusive\0"
            )
        };
        fs::write(process.join("cmdline"), line("data")).unwrap();
        assert!(linux.mapping("rbd", "data"));
        assert!(!linux.mapping("rbd", "dat") && !linux.mapping("other", "data"));
        fs::write(process.join("cmdline"), line("data").replace("map", "unmap")).unwrap();
        assert!(!linux.mapping("rbd", "data"));
    }

    #[test]
    fn mounts_are_read_whatever_their_path() {
        let text = "36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw\n\
            40 36 251:0 / /var/lib/my\\040volumes/x rw,relatime shared:2 - ext4 /dev/rbd0 rw,stripe=16\n";
        let mounts = mountinfo(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[1].major_minor, "251:0");
        assert_eq!(mounts[1].at, Path::new("/var/lib/my volumes/x"));
    }

    #[test]
    fn somebody_else_uses_a_device_if_it_is_mounted_outside_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path();
        let linux = Linux { sys: proc.into(), proc: proc.into() };
        let process = |pid: &str, namespace: &str, mounts: &str| {
            fs::create_dir_all(proc.join(pid).join("ns")).unwrap();
            std::os::unix::fs::symlink(namespace, proc.join(pid).join("ns/mnt")).unwrap();
            fs::write(proc.join(pid).join("mountinfo"), mounts).unwrap();
        };
        let ours = "40 36 251:0 / /root/x rw - ext4 /dev/rbd0 rw\n";
        process("self", "mnt:[1]", ours);
        process("1", "mnt:[1]", ours);
        process("20", "mnt:[2]", ours); // a service with a namespace of its own has a copy of every mount
        let device = Device {
            number: 0,
            major_minor: "251:0".into(),
            pool: String::new(),
            name: String::new(),
            image_id: String::new(),
            client: String::new(),
        };
        assert!(!linux.used(&device, Path::new("/root")));
        process("30", "mnt:[3]", "40 36 251:0 /data /data rw - ext4 /dev/rbd0 rw\n");
        assert!(linux.used(&device, Path::new("/root")));
        let other = Device { major_minor: "251:16".into(), ..device };
        assert!(!linux.used(&other, Path::new("/root")));
    }

    #[test]
    fn processes_kernels_and_signatures_are_told_apart() {
        let stat = "812 (a) b (c) S 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 4711 99 1";
        assert_eq!(started(stat), Some(("a) b (c".into(), 4711)));
        assert_eq!(started("nonsense"), None);
        for (release, speaks) in
            [("5.10.0-28-amd64", false), ("5.11.0", true), ("6.8", true), ("4.18.0-553.el8", false)]
        {
            assert_eq!(speaks_msgr2(release), speaks, "{release}");
        }
        assert_eq!(signature("DEVNAME=/dev/rbd0\nUUID=1\nTYPE=xfs\nUSAGE=filesystem\n"), "xfs");
        assert_eq!(signature("PTTYPE=gpt\n"), "a partition table (gpt)");
        let linux = Linux { sys: "/sys".into(), proc: "/proc".into() };
        assert_eq!(linux.dockerd(1), None);
        assert!(!linux.alive(&Daemon { pid: 1, started: u64::MAX }));
        assert!(!linux.boot_id().is_empty());
    }
}
